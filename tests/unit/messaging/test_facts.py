"""What messaging remembers of users and rooms, and what makes it forget."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from hubbub.clock import FakeClock
from services.messaging.domain.sending import Person
from services.messaging.facts import Facts

TTL = 10.0


class Source:
    """A store and an authorization service that count what they are asked."""

    def __init__(self) -> None:
        self.asked: list[object] = []
        self.people = {"u": Person("u", "ada", None, active=True)}
        self.places = {"r": {"_id": "r", "t": "c", "lastMessage": {"msg": "long"}}}
        self.users = SimpleNamespace(person=self._person)
        self.rooms = SimpleNamespace(one=self._room)

    async def _person(self, user_id: str) -> Person | None:
        self.asked.append(user_id)
        return self.people.get(user_id)

    async def _room(self, room_id: str) -> dict[str, Any] | None:
        self.asked.append(room_id)
        room = self.places.get(room_id)
        return None if room is None else dict(room)

    async def held_permissions(self, user_id: str, _: list[str], room_id: str) -> list[str]:
        self.asked.append((user_id, room_id))
        return ["view-c-room"]


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
async def facts(source: Source) -> AsyncIterator[Facts]:
    stand_in: Any = source
    facts = Facts(stand_in, stand_in, clock=FakeClock(), ttl=TTL, settings_ttl=TTL)
    yield facts
    await facts.close()


async def test_what_is_there_is_asked_for_once(facts: Facts, source: Source) -> None:
    """And a room comes without its last message."""
    for _ in range(3):
        assert await facts.person("u") == source.people["u"]
        assert await facts.room("r") == {"_id": "r", "t": "c"}

    assert source.asked == ["u", "r"]


async def test_what_is_missing_is_asked_for_again(facts: Facts, source: Source) -> None:
    """It may exist in a moment, and no event would tell."""
    assert await facts.person("new") is None
    assert await facts.room("new") is None
    source.people["new"] = Person("new", "eve", None, active=True)
    source.places["new"] = {"_id": "new", "t": "p"}

    assert await facts.person("new") == source.people["new"]
    assert await facts.room("new") == source.places["new"]


async def test_rights_are_forgotten_by_user_and_by_room(facts: Facts, source: Source) -> None:
    """A change of a user or a room touches the rights of no other."""
    pairs = [(user, room) for user in ("u", "v") for room in ("r", "s")]
    for pair in pairs:
        await facts.sending_rights(*pair)
    source.asked.clear()
    facts.forget_user("u")
    facts.forget_room("s")

    for pair in pairs:
        assert await facts.sending_rights(*pair) == {"view-c-room"}
    assert source.asked == [("u", "r"), ("u", "s"), ("v", "s")]
