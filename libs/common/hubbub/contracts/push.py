"""Contract of the push service: which devices a user could be reached on.

Device tokens are kept so that clients find a place for them. Nothing is delivered yet: there is
no connection to the push services of the phone makers, and no action here pretends otherwise.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol

from pydantic import Field

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Identifier, Text
from hubbub.ids import UserId


class DeviceKind(StrEnum):
    """Whose push service a token is for, as clients spell it."""

    APPLE = "apn"
    GOOGLE = "gcm"
    WEB = "web"


class Device(Frozen):
    """One installed app that wants to be woken."""

    id: Identifier
    """The app's own id, or a new one: the same device registers again under it."""
    kind: DeviceKind
    value: Text = Field(min_length=1, max_length=4096, repr=False)
    """What the push service of the phone's maker gave the app. It is a secret."""
    app_name: Text = Field(min_length=1, max_length=256)


class Push(Contract, Protocol, name="push"):
    """Device tokens per user. Nothing is delivered yet."""

    @action(idempotent=True)
    async def register_token(
        self, user_id: UserId, device: Device, hashed_token: str | None = None
    ) -> Document:
        """Remember a device; `{"_id", "appName", "token", "userId", "enabled", "createdAt",
        "_updatedAt"}`.

        A device belongs to one user at a time: whoever registers it takes it over. Of a user's
        devices the ones registered longest ago go when there are too many.

        Args:
            hashed_token: the login it is registered with; the device is forgotten with it.
        """
        ...

    @action(idempotent=True)
    async def remove_token(self, user_id: UserId, value: str) -> bool:
        """Forget a device of the user. False: there was none with this token."""
        ...

    @action(idempotent=True)
    async def tokens_of(self, user_id: UserId) -> list[Document]:
        """The user's devices, the ones registered last first."""
        ...

    @action(idempotent=True)
    async def forget_user(self, user_id: UserId) -> None:
        """Forget every device of a user."""
        ...
