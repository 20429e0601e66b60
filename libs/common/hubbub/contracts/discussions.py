"""The part of the messaging contract about discussions and pruning."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract


class DiscussionActions(Contract, Protocol):
    """Rooms that grow out of a message, and removing what was said. `user_id` is who acts."""
