"""How memberships of many users in many rooms are asked for."""

from __future__ import annotations

from itertools import product

import pytest

from hubbub.ids import RoomId, UserId
from services.authorization.store.facts import Pair, _queries


def pairs(*named: str) -> list[Pair]:
    """`"ab"` is user a in room b."""
    return [(UserId(pair[0]), RoomId(pair[1])) for pair in named]


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        (pairs("aX", "bX", "cX"), 1),
        (pairs("aX", "aY", "aZ"), 1),
        (pairs("aX", "aY", "bX"), 2),
        (pairs("aX", "bX", "cX", "cY"), 2),
        (pairs(), 0),
    ],
)
def test_they_find_what_was_asked_and_nothing_else(asked: list[Pair], count: int) -> None:
    found: list[tuple[str, str]] = []
    for query in _queries(asked):
        room, user = query["rid"], query["u._id"]
        rooms = room["$in"] if isinstance(room, dict) else [room]
        users = user["$in"] if isinstance(user, dict) else [user]
        found += product(users, rooms)
    assert sorted(found) == sorted(asked)
    assert len(_queries(asked)) == count
