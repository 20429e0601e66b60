"""The part of the messaging contract about finding rooms."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract


class RoomListActions(Contract, Protocol):
    """Directories and lists for administrators. `user_id` is who acts."""
