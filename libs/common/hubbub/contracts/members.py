"""The part of the messaging contract about what members are to a room."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract


class MemberActions(Contract, Protocol):
    """Roles in a room, mutes, blocks, notification settings, invitations. `user_id` is who acts."""
