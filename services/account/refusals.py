"""Refusals that several parts of the service share."""

from __future__ import annotations

from hubbub.contracts.account import UserNotFound
from hubbub.errors import NotAllowed


def user_not_found() -> UserNotFound:
    """There is no such user."""
    return UserNotFound("Invalid user")


def action_not_allowed(reason: str) -> NotAllowed:
    """What nobody may do."""
    return NotAllowed(reason, code="error-action-not-allowed")


def last_administrator() -> NotAllowed:
    """The last administrator stays one, active and there."""
    return action_not_allowed("There must be at least one administrator")
