"""The part of the account contract about roles of the whole workspace."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract


class UserRoleActions(Contract, Protocol):
    """Who holds which role. `user_id` is whose roles they are."""
