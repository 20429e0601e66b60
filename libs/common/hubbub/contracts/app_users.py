"""The part of the account contract about the users that apps act as."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Frozen, Text
from hubbub.ids import UserId


class AppUser(Frozen):
    """The user that an app acts as. Nobody can sign in as it."""

    user_id: UserId
    username: str


class AppUserActions(Contract, Protocol):
    """The apps engine makes users for apps; nobody else does."""

    @action(idempotent=True, timeout=10.0)
    async def ensure_app_user(self, app_id: Text, name: Text) -> AppUser:
        """Make the user of an app, `<app>.bot` with the role `app`, or bring it back.

        Raises: FieldTaken: somebody else has this username, or one that looks the same.
        """
        ...

    @action(idempotent=True, timeout=120.0)
    async def retire_app_user(self, app_id: Text) -> None:
        """Deactivate the user of an app; what it said stays. Unknown ones are no error."""
        ...
