"""Contract of the presence service: who is there."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from pydantic import Field

from hubbub.contracts.base import Contract, Event, action
from hubbub.contracts.documents import Document, Frozen, Identifier, Page, Paging, Text
from hubbub.errors import BadRequest, NotFound
from hubbub.ids import UserId

INSTANCES_BUCKET = "hubbub_presence_instances"
"""NATS key-value bucket (memory) with one key per streamer instance, value = its boot id.
Streamers renew their key every 5 s; a key not renewed for 15 s means that the instance is gone."""


class Status(StrEnum):
    """A user's visible status, as documents and REST spell it."""

    OFFLINE = "offline"
    ONLINE = "online"
    AWAY = "away"
    BUSY = "busy"


STATUS_CODES = {Status.OFFLINE: 0, Status.ONLINE: 1, Status.AWAY: 2, Status.BUSY: 3}
"""The numbers that streams use for statuses."""


class UnknownStatus(BadRequest):
    default_code = "error-invalid-status"


class CustomStatusNotFound(NotFound):
    default_code = "Custom_User_Status_Error_Invalid_User_Status"


class CustomStatusNameTaken(BadRequest):
    default_code = "Custom_User_Status_Error_Name_Already_In_Use"


class CustomStatus(Frozen):
    """A status text that the workspace offers to everybody, with the status it stands for."""

    name: Text = Field(min_length=1, max_length=120)
    status_type: Status = Status.ONLINE


class ConnectionRecord(Frozen):
    """One socket of a signed-in user."""

    user_id: UserId
    connection_id: str
    """The public id; never the DDP session id, which is a credential."""
    status: Status = Status.ONLINE
    sequence: int = 0
    """Grows with every message about this connection: late and repeated ones are ignored."""


class UserPresence(Frozen):
    """How a user appears to others."""

    user_id: UserId
    username: str
    name: str | None = None
    status: Status
    status_text: str = ""
    utc_offset: float | None = None
    avatar_etag: str | None = None


class OwnPresence(Frozen):
    """A user's own view."""

    status: Status
    connection: Status
    """What the sockets alone say."""
    default: Status
    """What the user chose."""
    text: str = ""


class Presence(Contract, Protocol, name="presence"):
    """Connections per user, merged status, chosen status and text.

    Every change of a user's visible status or text is published once on the ephemeral audience
    `presence` as a finished `stream-user-presence` frame. Going offline is announced only after
    a grace time, so a reconnect makes no noise.
    """

    @action(idempotent=True)
    async def new_connection(
        self, connection: ConnectionRecord, instance: str, boot_id: str
    ) -> None:
        """A user signed in on a socket of the streamer `instance`."""
        ...

    @action(idempotent=True)
    async def set_connection_status(
        self, connection: ConnectionRecord, instance: str, boot_id: str
    ) -> None:
        """The client says that it is `online` or `away`."""
        ...

    @action(idempotent=True)
    async def remove_connections(
        self, connections: list[ConnectionRecord], instance: str, boot_id: str
    ) -> None:
        """These sockets closed or signed out. One call for many when a streamer drains."""
        ...

    @action(idempotent=True)
    async def announce(
        self, connections: list[ConnectionRecord], instance: str, boot_id: str
    ) -> None:
        """The streamer's signed-in sockets (a chunk of at most 1,000), after presence asked."""
        ...

    @action(idempotent=True)
    async def set_status(
        self, user_id: UserId, status: Status | None = None, text: str | None = None
    ) -> None:
        """Choose a status, a status text, or both.

        Raises: NotAllowed: `error-status-not-allowed`, `error-not-allowed` by settings;
            BadRequest: the text is longer than 120 characters.
        """
        ...

    @action(idempotent=True)
    async def own_presence(self, user_id: UserId) -> OwnPresence:
        """The user's own status. Raises: UserNotFound."""
        ...

    @action(idempotent=True)
    async def presence_of(self, user_ids: list[UserId]) -> list[UserPresence]:
        """How these users appear, offline ones included; unknown ids are left out (≤ 300)."""
        ...

    @action(idempotent=True)
    async def everybody_present(self) -> list[UserPresence]:
        """All users who are not offline (≤ 5,000)."""
        ...

    @action(idempotent=True)
    async def changed_since(self, moment: datetime) -> list[UserPresence]:
        """Users whose visible status or text changed after `moment`, offline ones included
        (≤ 5,000)."""
        ...

    @action(idempotent=True)
    async def custom_statuses(
        self, paging: Paging, status_id: Identifier | None = None, name: Text | None = None
    ) -> Page:
        """Statuses that the workspace offers, by name: `{"_id", "name", "statusType",
        "_updatedAt"}`."""
        ...

    @action()
    async def create_custom_status(self, user_id: UserId, status: CustomStatus) -> Document:
        """Offer a status. Raises: NotAllowed: `user_id` lacks `manage-user-status`;
        CustomStatusNameTaken."""
        ...

    @action(idempotent=True)
    async def update_custom_status(
        self, user_id: UserId, status_id: Identifier, status: CustomStatus
    ) -> Document:
        """Change an offered status. Raises: NotAllowed; CustomStatusNotFound;
        CustomStatusNameTaken."""
        ...

    @action(idempotent=True)
    async def delete_custom_status(self, user_id: UserId, status_id: Identifier) -> None:
        """Offer a status no longer. Raises: NotAllowed; CustomStatusNotFound."""
        ...


class PresenceWanted(Event, name="presence.wanted"):
    """Presence lost its records, or started: every streamer announces its sockets."""
