"""The part of the messaging contract about marking and finding messages."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract


class MarkActions(Contract, Protocol):
    """Stars, pins, followed threads, search, reports. `user_id` is who acts."""
