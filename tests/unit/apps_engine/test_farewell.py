"""Who hears that an app was disabled."""

from __future__ import annotations

from typing import Any, cast

from hubbub.contracts.account import UserNotFound
from hubbub.contracts.messages import NewMessage
from hubbub.errors import NotAllowed, Unavailable
from hubbub.ids import UserId
from services.apps_engine.bridge import Who
from services.apps_engine.farewell import Farewell

WHO = Who("poll", UserId("B"), "poll.bot", frozenset())
USERS = {
    "ana": {"_id": "ana", "username": "ana", "active": True},
    "gone": {"_id": "gone", "username": "gone", "active": False},
}


class Workspace:
    """Account, authorization and messaging in one."""

    def __init__(self, administrators: list[str] | None, *, deaf: str = "") -> None:
        self._administrators = administrators
        self._deaf = deaf
        self.told: list[tuple[str, str]] = []

    async def user_info(self, viewer_id: UserId, user_id: str) -> dict[str, Any]:
        assert viewer_id == "B"
        if user_id not in USERS:
            raise UserNotFound
        return USERS[user_id]

    async def administrators(self) -> list[dict[str, Any]]:
        if self._administrators is None:
            raise Unavailable("away")
        return [{"_id": name, "username": name} for name in self._administrators]

    async def create_direct(self, user_id: UserId, usernames: list[str]) -> dict[str, Any]:
        (username,) = usernames
        if username == self._deaf:
            raise NotAllowed("blocked")
        return {"_id": f"{user_id}-{username}"}

    async def send_message(self, user_id: UserId, message: NewMessage) -> None:
        assert user_id == "B"
        self.told.append((message.room_id, message.text))


async def _told(workspace: Workspace, installer: str) -> list[str]:
    everything = cast(Any, workspace)
    farewell = Farewell(everything, everything, everything)
    await farewell.tell(WHO, UserId(installer), "ended 5 times")
    for _, text in workspace.told:
        assert text == "I was disabled: ended 5 times.\nWhat I wrote down: `hubbub app logs poll`"
    return [room for room, _ in workspace.told]


async def test_installer_and_administrators_hear_of_it_once() -> None:
    assert await _told(Workspace(["root", "ana"]), "ana") == ["B-ana", "B-root"]


async def test_who_cannot_be_told_keeps_it_from_nobody() -> None:
    assert await _told(Workspace(["eve", "root"], deaf="eve"), "gone") == ["B-root"]
    assert await _told(Workspace(["root"]), "never") == ["B-root"]
    assert await _told(Workspace(None), "ana") == ["B-ana"]
