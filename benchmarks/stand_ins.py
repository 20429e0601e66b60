"""The services behind a streamer, each a few lines that answer at once, so that only it counts.

    python -m benchmarks.stand_ins NATS_URL

Every token `t…` is the login of a user `u…`, who is a member of ten rooms and may do anything.
Users share rooms: user n is in the rooms of `rooms_of(n)`, so that a room has `MEMBERS` members.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import uvloop
from prometheus_client import CollectorRegistry

from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.account import Account, Identity, LoginResult
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.documents import Page, Paging
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.presence import ConnectionRecord, Presence
from hubbub.contracts.rooms import Membership
from hubbub.ids import RoomId, UserId

ROOMS = 10  # of a user
MEMBERS = 50  # of a room
EVERYBODY = "EVERYBODY"  # a room that all may follow, though nobody is a member
_EXPIRES = datetime(2099, 1, 1, tzinfo=UTC)


def user_id(number: int) -> str:
    """As long as real ids are."""
    return f"u{number:016d}"


def token(number: int) -> str:
    """The login token of user `number`; as long as real ones are."""
    return f"t{number:042d}"


def rooms_of(number: int) -> list[str]:
    """The ten rooms of user `number`: those of the block of `MEMBERS` users that it is in."""
    return [f"room{number // MEMBERS:06d}x{index:02d}yyyy" for index in range(ROOMS)]


class StandInAccount(Account):
    """Knows everybody."""

    async def login(self, parameters: dict[str, Any], address: str = "") -> LoginResult:
        name = user_id(int(parameters["resume"][1:]))
        return LoginResult(
            user_id=UserId(name),
            token=parameters["resume"],
            hashed_token=f"hash-{name}",
            token_expires=_EXPIRES,
            type="resume",
            user={"username": name, "name": name.title()},
        )

    async def verify_token(self, user_id: UserId, hashed_token: str) -> Identity:
        return Identity(user_id=user_id, username=user_id, hashed_token=hashed_token)


class StandInAuthorization(Authorization):
    """Grants everything."""

    async def has_permission(
        self, user_id: UserId | None, permission: str, room_id: RoomId | None = None
    ) -> bool:
        return True

    async def has_at_least_one_permission(
        self, user_id: UserId | None, permissions: list[str], room_id: RoomId | None = None
    ) -> bool:
        return True

    async def can_access_room_id(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        return True

    async def can_read_room(
        self, room_id: RoomId, user_id: UserId | None, now: bool = False
    ) -> bool:
        return True


class StandInMessaging(Messaging):
    """Knows who is where."""

    async def memberships_of(self, user_id: UserId) -> list[Membership]:
        return [
            Membership(room_id=RoomId(room), room_type="c", room_name=f"name-{room}")
            for room in rooms_of(int(user_id[1:]))
        ]

    async def list_public_settings(self, paging: Paging, ids: list[str] | None = None) -> Page:
        return Page(items=[{"_id": "UI_Use_Real_Name", "value": False}], total=1)


class StandInPresence(Presence):
    """Does not care who is there."""

    async def new_connection(
        self, connection: ConnectionRecord, instance: str, boot_id: str
    ) -> None:
        return

    async def remove_connections(
        self, connections: list[ConnectionRecord], instance: str, boot_id: str
    ) -> None:
        return

    async def announce(
        self, connections: list[ConnectionRecord], instance: str, boot_id: str
    ) -> None:
        return


def completed(kind: type[Any]) -> object:
    """An instance of `kind`; the actions that it does not play fail when they are called."""

    async def absent(_self: object, *_: object, **__: object) -> None:
        raise NotImplementedError("nobody plays this")

    missing = {
        name: absent
        for base in kind.__mro__
        for name, action in getattr(base, "contract_actions", {}).items()
        if getattr(kind, name) is action.function
    }
    return type(kind.__name__, (kind,), missing)()


async def serve(url: str) -> None:
    """Answer until standard input ends."""
    bus = NatsBus(
        BusSettings(nats_url=url),
        service="stand-ins",
        instance="stand-ins-1",
        registry=CollectorRegistry(),
    )
    await bus.connect()
    for kind in (StandInAccount, StandInAuthorization, StandInMessaging, StandInPresence):
        await bus.serve(completed(kind))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await bus.close()


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1]))
