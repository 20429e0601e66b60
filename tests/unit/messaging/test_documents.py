"""Documents as they are made, and as clients see them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from nats.errors import ConnectionClosedError

from hubbub.contracts.documents import Paging
from hubbub.contracts.rooms import NewRoom
from hubbub.contracts.workspace import PUBLISHED_ROOM_FIELDS, PUBLISHED_SUBSCRIPTION_FIELDS
from hubbub.ids import from_subject_token
from services.messaging.domain import foreign, lists, plain, records
from services.messaging.domain.sending import Person
from services.messaging.store.allocation import placed
from services.messaging.whisper import NatsWhisper

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ADA, BOB, EVE = Person("u1", "ada", "Ada"), Person("u2", "bob"), Person("u3", "eve", "Eve")


@pytest.mark.parametrize(
    ("ids", "room_id"),
    [(["b", "a"], "ab"), (["a", "b"], "ab"), (["a", "a"], "aa"), (["a", "b", "c"], None)],
)
def test_ids_of_direct_rooms(ids: list[str], room_id: str | None) -> None:
    """The same two people always have the same room."""
    assert records.direct_room_id(ids) == room_id


def test_a_new_room_has_what_clients_expect() -> None:
    """And internals only beside the published fields."""
    wanted = NewRoom(type="p", name="x", read_only=True, description="")
    made = records.room("r", wanted, "x", ADA, 3, NOW)

    assert made.keys() - PUBLISHED_ROOM_FIELDS == {"seq", "countedSeq"}
    assert (made["t"], made["ro"], made["usersCount"], made["msgs"]) == ("p", True, 3, 0)
    assert "description" not in made
    assert records.general_room(NOW)["default"] is True


@pytest.mark.parametrize(
    ("alert", "counters"), [(True, (1, 1, 0)), (False, (0, 0, 0))], ids=["added", "creator"]
)
def test_a_new_membership(alert: bool, counters: tuple[int, int, int]) -> None:
    """Who is added notices it, who made the room does not."""
    made = records.membership("s", {"_id": "r", "t": "c", "name": "x"}, ADA, NOW, alert=alert)

    assert made.keys() <= PUBLISHED_SUBSCRIPTION_FIELDS
    assert (made["unread"], made["userMentions"], made["groupMentions"]) == counters
    assert (made["open"], made["alert"], made["fname"]) == (True, alert, "x")
    assert "roles" not in made


@pytest.mark.parametrize(
    ("people", "name", "shown", "is_open"),
    [
        ([ADA, BOB], "bob", "bob", True),
        ([ADA], "ada", "Ada", True),
        ([EVE, BOB, ADA], "bob, eve", "bob, Eve", True),
    ],
    ids=["two", "alone", "three"],
)
def test_direct_memberships_are_named_after_the_others(
    people: list[Person], name: str, shown: str, is_open: bool
) -> None:
    """Names joined, in order."""
    room = records.direct_room("r", people, ADA, NOW)
    made = records.direct_membership("s", room, ADA, people, NOW, is_creator=True)

    assert (made["name"], made["fname"], made["open"]) == (name, shown, is_open)


def test_views_put_foreign_documents_right() -> None:
    """Text dates become dates, missing counters numbers, odd values vanish."""
    room = foreign.room_view(
        {"_id": "r", "lm": "2026-01-01T00:00:00.000Z", "sysMes": True, "msgs": "x", "joinCode": 1}
    )
    membership = foreign.membership_view({"_id": "s", "ls": "never", "unread": None, "secret": 1})

    assert room == {"_id": "r", "lm": NOW, "sysMes": True, "msgs": 0, "usersCount": 0}
    assert membership == {
        "_id": "s",
        "open": True,
        "alert": False,
        "unread": 0,
        "userMentions": 0,
        "groupMentions": 0,
        "roles": [],
    }


@pytest.mark.parametrize(
    ("setting", "room", "hidden"),
    [
        (None, {"sysMes": True}, []),
        (["uj"], {"sysMes": ["ul", 5]}, ["uj", "ul"]),
        (["mute_unmute"], {}, ["mute_unmute", "user-muted", "user-unmuted"]),
    ],
)
def test_hidden_types(setting: Any, room: dict[str, Any], hidden: list[str]) -> None:
    """Of the workspace and of the room."""
    assert foreign.hidden_types(setting, room) == hidden


@pytest.mark.parametrize(
    ("link", "safe"),
    [
        ("https://a.org", True),
        ("HTTP://a.org", True),
        ("/file-upload/x", True),
        ("file-upload/x", True),
        ("", True),
        ("javascript:alert(1)", False),
        (" java\tscript:alert(1)", False),
        ("data:text/html,x", False),
        ("file:///etc/passwd", False),
        ({"$ne": 1}, False),
        (5, False),
    ],
)
def test_links(link: Any, safe: bool) -> None:
    """Only the web, and the own server."""
    assert plain.is_safe_link(link) is safe


def test_orders_are_limited_to_known_keys() -> None:
    """Ties are broken by id; unknown keys are ignored."""
    order = lists.order(Paging(sort={"x.$where": 1, "name": -1}), ("name",), {"name": 1})

    assert order == [("name", -1), ("_id", -1)]
    assert lists.order(Paging(), ("name",), {"name": 1}) == [("name", 1), ("_id", 1)]
    assert lists.limit(Paging(count=0)) == lists.MAX_LIST


def test_messages_of_a_batch_get_their_places() -> None:
    """Consecutive numbers and milliseconds, the last one the room's."""
    room = {"seq": 7, "tsHigh": NOW}
    first, second = placed([{"_id": "a"}, {"_id": "b"}], room)

    assert (first["seq"], second["seq"]) == (6, 7)
    assert (second["ts"] - first["ts"]).total_seconds() == 0.001
    assert second["ts"] == second["_updatedAt"] == NOW


class FakeConnection:
    def __init__(self, failure: Exception | None = None) -> None:
        self.sent: list[tuple[str, bytes, dict[str, str]]] = []
        self.failure = failure

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: Any = None
    ) -> None:
        if self.failure:
            raise self.failure
        self.sent.append((subject, payload, headers))


async def test_whispers_reach_one_user() -> None:
    """As a finished frame on the user's own subject."""
    connection = FakeConnection()

    await NatsWhisper(connection).tell("u 1", "message", {"_id": "x", "ts": NOW})

    ((subject, payload, headers),) = connection.sent
    frame = orjson.loads(payload)
    prefix, _, token = subject.rpartition(".")
    assert prefix == "hubbub.v1.ephemeral.user"
    assert from_subject_token(token) == "u 1"
    assert frame["collection"] == "stream-notify-user"
    assert frame["fields"]["eventName"] == "u 1/message"
    assert frame["fields"]["args"] == [{"_id": "x", "ts": {"$date": 1767225600000}}]
    assert headers["Hub-Kind"] == "frame"
    assert headers["Hub-Stream"] == "notify-user"
    assert headers["Hub-Key"] == "u%201%2Fmessage"


async def test_whispers_may_be_lost() -> None:
    """A lost connection, or a document that is none, fails nobody's send."""
    await NatsWhisper(FakeConnection(ConnectionClosedError())).tell("u", "message", {})
    await NatsWhisper(FakeConnection()).tell("u", "message", {"x": object()})
