"""What decisions look up, and how often."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from services.stream_hub.domain import RoomFacts, facts_of
from services.stream_hub.feed import Feed, Read
from services.stream_hub.knowledge import Knowledge
from tests.unit.stream_hub.fakes import position
from tests.unit.stream_hub.made import change


class Facts:
    def __init__(self) -> None:
        self.rooms: dict[str, dict[str, Any]] = {"r1": {"_id": "r1", "t": "c", "name": "one"}}
        self.asked: list[set[str]] = []
        self.people = {"u1": "One", "u2": "Two"}
        self.shows_names = False
        self.names_asked: list[set[str]] = []
        self.past: list[tuple[str, tuple[int, int]]] = []

    async def room_facts(self, room_ids: Iterable[str]) -> dict[str, RoomFacts]:
        self.asked.append(set(room_ids))
        return {key: facts_of(room) for key, room in self.rooms.items() if key in self.asked[-1]}

    async def room_documents(self, room_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        return {key: self.rooms[key] for key in room_ids if key in self.rooms}

    async def ended_memberships(self, ids: Iterable[Any]) -> dict[Any, Mapping[str, Any]]:
        return {key: {"_id": key, "rid": "r1", "u": {"_id": "u1"}} for key in ids}

    async def hidden_types(self) -> frozenset[str]:
        return frozenset({"uj"})

    async def erasure(self) -> str:
        return "Keep"

    async def real_names(self) -> bool:
        return self.shows_names

    async def names(self, user_ids: Iterable[str]) -> dict[str, str]:
        self.names_asked.append(set(user_ids))
        return {key: self.people[key] for key in self.names_asked[-1] if key in self.people}

    async def roles_before(self, user_id: str, moment: tuple[int, int]) -> list[str] | None:
        self.past.append((user_id, moment))
        return ["user"]


def _message(room_id: str) -> Any:
    return change("rocketchat_message", "insert", {"_id": "m", "rid": room_id})


async def test_a_room_is_looked_up_once_with_all_of_its_batch() -> None:
    facts = Facts()
    knowledge = Knowledge(facts, limit=100)
    await knowledge.prepare([_message("r1"), _message("r2"), _message("r1")])
    await knowledge.prepare([_message("r2"), _message("r1")])
    assert facts.asked == [{"r1", "r2"}]
    room = knowledge.room("r1")
    assert room is not None
    assert room.name == "one"
    assert knowledge.room("r2") is None


async def test_facts_follow_the_changes() -> None:
    knowledge = Knowledge(Facts(), limit=100)
    await knowledge.prepare([_message("r1"), _message("new")])
    knowledge.learn(change("rocketchat_room", "insert", {"_id": "new", "t": "p", "name": "n"}))
    knowledge.learn(
        change("rocketchat_room", "update", {"_id": "r1", "t": "p"}, updated={"t": "p"})
    )
    assert knowledge.room("new") == RoomFacts("p", "n", frozenset())
    assert knowledge.room("r1") == RoomFacts("p", "", frozenset())
    knowledge.learn(change("rocketchat_room", "delete", id_="r1"))
    assert knowledge.room("r1") is None


async def test_the_cache_is_bounded_and_keeps_what_the_batch_needs() -> None:
    knowledge = Knowledge(Facts(), limit=2)
    for number in range(10):
        await knowledge.prepare([_message("r1"), _message(f"x{number}")])
        assert knowledge.room("r1") is not None
    assert len(knowledge._rooms) <= 4


async def test_hidden_types_follow_their_setting() -> None:
    knowledge = Knowledge(Facts(), limit=10)
    await knowledge.begin()
    assert knowledge.hidden_types == {"uj"}
    setting = {"_id": "Hide_System_Messages", "value": ["au"]}
    knowledge.learn(change("rocketchat_settings", "update", setting, updated={"value": ["au"]}))
    assert knowledge.hidden_types == {"au"}


async def test_the_erasure_follows_its_setting() -> None:
    knowledge = Knowledge(Facts(), limit=10)
    await knowledge.begin()
    assert knowledge.erasure == "Keep"
    setting = {"_id": "Message_ErasureType", "value": "Unlink"}
    knowledge.learn(change("rocketchat_settings", "update", setting, updated={"value": "Unlink"}))
    assert knowledge.erasure == "Unlink"
    odd = setting | {"value": {"$gt": ""}}
    knowledge.learn(change("rocketchat_settings", "update", odd, updated={"value": 1}))
    assert knowledge.erasure == "Delete"


async def test_the_past_is_asked_for_changed_roles_only() -> None:
    facts = Facts()
    knowledge = Knowledge(facts, limit=10)
    user = {"_id": "u1", "roles": ["user", "admin"]}
    given = change("users", "update", user, updated={"roles": user["roles"]})
    await knowledge.prepare([given, change("users", "update", user, updated={"status": "away"})])
    assert facts.past == [("u1", given.moment)]
    assert knowledge.roles_before("u1", given.moment) == ["user"]
    await knowledge.prepare([])
    assert knowledge.roles_before("u1", given.moment) is None


async def test_documents_and_trash_are_of_one_batch() -> None:
    knowledge = Knowledge(Facts(), limit=10)
    began = change("rocketchat_subscription", "insert", {"_id": "s", "rid": "r1"})
    ended = change("rocketchat_subscription", "delete", id_="s2")
    await knowledge.prepare([began, ended])
    assert knowledge.room_document("r1") is not None
    assert knowledge.ended_membership("s2") is not None
    await knowledge.prepare([])
    assert knowledge.room_document("r1") is None
    assert knowledge.ended_membership("s2") is None


async def test_a_feed_hands_over_all_it_has_in_order() -> None:
    feed = Feed(3)
    for number in range(3):
        assert not feed.full
        feed.put(Read(position(number)))
    assert feed.full
    assert [item.position for item in await feed.take(2)] == [position(0), position(1)]
    await feed.room()
    assert [item.position for item in await feed.take(2)] == [position(2)]


def _message_of(author: str, *mentioned: str) -> Any:
    people = {"u": {"_id": author}, "mentions": [{"_id": one} for one in (*mentioned, {"$ne": 1})]}
    return change("rocketchat_message", "insert", {"_id": "m", "rid": "r1", **people})


async def test_names_are_looked_up_where_they_are_shown_and_follow_the_changes() -> None:
    facts = Facts()
    knowledge = Knowledge(facts, limit=10)
    await knowledge.begin()
    await knowledge.prepare([_message_of("u1", "u2")])
    assert facts.names_asked == []

    shown = {"_id": "UI_Use_Real_Name", "value": True}
    knowledge.learn(change("rocketchat_settings", "update", shown, updated={"value": True}))
    assert knowledge.real_names
    await knowledge.prepare([_message_of("u1", "u2", "gone")])
    await knowledge.prepare([_message_of("u2", "gone")])
    assert facts.names_asked == [{"u1", "u2", "gone"}]
    assert [knowledge.name(one) for one in ("u1", "u2", "gone")] == ["One", "Two", None]
    user = {"_id": "u1", "username": "one", "name": "Uno"}
    knowledge.learn(change("users", "update", user, updated={"name": "Uno"}))
    assert knowledge.name("u1") == "Uno"
    knowledge.learn(change("users", "delete", id_="u1"))
    assert knowledge.name("u1") is None


async def test_as_many_names_are_kept_as_rooms() -> None:
    facts = Facts()
    facts.shows_names = True
    knowledge = Knowledge(facts, limit=2)
    await knowledge.begin()
    for number in range(10):
        await knowledge.prepare([_message_of("u1", f"x{number}")])
        assert knowledge.name("u1") == "One"
    assert len(knowledge._names) <= 4
