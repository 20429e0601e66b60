"""The part of the messaging contract about slash commands."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract


class CommandActions(Contract, Protocol):
    """Commands that people type into a room. `user_id` is who acts."""
