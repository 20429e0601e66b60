"""Typing: what a client may say about itself, and what others hear of it."""

from __future__ import annotations

from typing import Any, cast

import orjson
import pytest

from hubbub.contracts.authorization import Authorization, RoomQuestion
from hubbub.contracts.documents import Page
from hubbub.contracts.event_log import EPHEMERAL_SUBJECTS, Header
from hubbub.contracts.messaging import Messaging
from hubbub.errors import NotAllowed
from services.ddp_streamer.activity import Activity, Notice, notice
from services.ddp_streamer.rights import Rights
from services.ddp_streamer.workspace import Workspace


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (["R/typing", "bob", True], Notice("R", "typing", "bob", (True,))),
        (["R/typing", "bob", False, {}, ""], Notice("R", "typing", "bob", (False, {}))),
        (
            ["R/user-activity", "bob", ["user-typing"], {"tmid": "t"}],
            Notice("R", "user-activity", "bob", (["user-typing"], {"tmid": "t"})),
        ),
        (["R/user-activity", "bob", []], Notice("R", "user-activity", "bob", ([],))),
    ],
)
def test_what_clients_say(params: list[Any], expected: Notice) -> None:
    assert notice(params) == expected


@pytest.mark.parametrize(
    "params",
    [
        [],
        ["R/typing", "bob"],
        ["R/typing", "bob", "yes"],
        ["R/typing", 5, True],
        ["R/deleteMessage", "bob", True],
        ["/typing", "bob", True],
        ["R/user-activity", "bob", ["user-dancing"]],
        ["R/user-activity", "bob", ["user-typing"] * 4],
        ["R/user-activity", "bob", [{"$ne": 1}]],
        ["R/typing", "bob", True, {"x": "y" * 2000}],
    ],
)
def test_what_is_not_passed_on(params: list[Any]) -> None:
    assert notice(params) is None


def test_the_other_form_is_derived() -> None:
    assert Notice("R", "typing", "b", (True, {})).derived() == Notice(
        "R", "user-activity", "b", (["user-typing"], {})
    )
    assert Notice("R", "typing", "b", (False,)).derived() == Notice(
        "R", "user-activity", "b", ([],)
    )
    assert Notice("R", "user-activity", "b", ([],)).derived() == Notice(
        "R", "typing", "b", (False,)
    )
    assert Notice("R", "user-activity", "b", (["user-uploading"],)).derived() is None


class Writer:
    def __init__(self, user_id: str | None = "u1") -> None:
        self.typing: dict[tuple[str, str], tuple[bytes, float]] | None = None
        self.document = {"username": "bob", "name": "Bob B."}
        self.user_id = user_id
        self.public_id = "c1"


class Room:
    """Messaging, as far as it knows a room."""

    def __init__(self) -> None:
        self.size = 2
        self.online = 1
        self.asked = 0
        self.counted = 0
        self.hides_members = False

    async def get_room(self, *_: object) -> dict[str, Any]:
        self.asked += 1
        return {"_id": "R", "usersCount": self.size}

    async def members(self, *_: object, online_only: bool = False) -> Page:
        assert online_only
        self.counted += 1
        if self.hides_members:
            raise NotAllowed
        return Page(items=[], total=self.online)


class Others:
    """Authorization and messaging, and what was published."""

    def __init__(self) -> None:
        self.access = True
        self.room = Room()
        self.workspace = Workspace(cast("Messaging", self.room))
        self.now = 100.0
        self.published: list[tuple[str, Any, dict[str, str]]] = []
        self.activity = Activity(
            Rights(cast("Authorization", self)),
            cast("Messaging", self.room),
            self.publish,
            self.workspace,
            now=lambda: self.now,
        )

    async def judge_rooms(self, questions: list[RoomQuestion]) -> list[bool]:
        return [self.access for _ in questions]

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        self.published.append((subject, orjson.loads(payload), headers))


async def test_both_forms_go_to_the_room_with_their_origin() -> None:
    others = Others()
    await others.activity.write(Writer(), ["R/user-activity", "bob", ["user-typing"], {}])
    subjects = {subject for subject, _, _ in others.published}
    assert subjects == {EPHEMERAL_SUBJECTS + "room.R"}
    assert [payload["fields"] for _, payload, _ in others.published] == [
        {"eventName": "R/user-activity", "args": ["bob", ["user-typing"], {}]},
        {"eventName": "R/typing", "args": ["bob", True]},
    ]
    assert {headers[Header.ORIGIN] for _, _, headers in others.published} == {"c1"}
    assert [headers[Header.KEY] for _, _, headers in others.published] == [
        "R/user-activity",
        "R/typing",
    ]


@pytest.mark.parametrize(
    ("user_id", "name", "access"),
    [(None, "bob", True), ("u1", "ann", True), ("u1", "", True), ("u1", "bob", False)],
)
async def test_what_is_not_allowed_has_no_effect(
    user_id: str | None, name: str, access: bool
) -> None:
    others = Others()
    others.access = access
    await others.activity.write(Writer(user_id), ["R/typing", name, True])
    assert others.published == []


async def test_real_names_when_the_workspace_shows_them() -> None:
    others, writer = Others(), Writer()
    others.workspace.real_names = True
    await others.activity.write(writer, ["R/typing", "Bob B.", True])
    assert len(others.published) == 2
    others.workspace.real_names = False
    await others.activity.write(writer, ["R2/typing", "Bob B.", True])
    assert len(others.published) == 2


async def test_a_forged_name_does_not_use_up_the_own_state() -> None:
    """What was refused says nothing about what may be told a moment later."""
    others, writer = Others(), Writer()
    await others.activity.write(writer, ["R/typing", "ann", True])
    await others.activity.write(writer, ["R/typing", "bob", True])
    assert len(others.published) == 2


async def test_equal_states_within_a_second_are_told_once() -> None:
    others, writer = Others(), Writer()
    for _ in range(5):
        await others.activity.write(writer, ["R/typing", "bob", True])
    assert len(others.published) == 2
    await others.activity.write(writer, ["R/typing", "bob", False])
    assert len(others.published) == 4
    others.now += 1.0
    await others.activity.write(writer, ["R/typing", "bob", False])
    assert len(others.published) == 6
    for number in range(500):
        await others.activity.write(writer, [f"R{number}/typing", "bob", True])
    assert writer.typing is not None
    assert len(writer.typing) <= 64


@pytest.mark.parametrize(
    ("size", "online", "hides_members", "told"),
    [
        (500, 500, False, True),
        (9_000, 500, False, True),
        (9_000, 501, False, False),
        (9_000, 1, True, False),
    ],
)
async def test_a_crowd_is_not_told(size: int, online: int, hides_members: bool, told: bool) -> None:
    others, writer = Others(), Writer()
    others.room.size, others.room.online, others.room.hides_members = size, online, hides_members
    await others.activity.write(writer, ["R/typing", "bob", True])
    assert bool(others.published) is told


async def test_a_room_is_counted_once_a_minute() -> None:
    others, writer = Others(), Writer()
    others.room.size = others.room.online = 501
    for _ in range(20):
        others.now += 2.9
        await others.activity.write(writer, ["R/typing", "bob", True])
    assert others.room.asked == others.room.counted == 1
    others.room.online = 3
    others.now += 10
    await others.activity.write(writer, ["R/typing", "bob", True])
    assert others.room.asked == 2
    assert len(others.published) == 2
