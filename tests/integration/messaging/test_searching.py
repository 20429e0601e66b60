"""Finding messages by their text, on a real database."""

from __future__ import annotations

import pytest

from hubbub.contracts.documents import Paging
from hubbub.ids import RoomId, UserId
from services.messaging.store import searching
from tests.integration.messaging.house import House

pytestmark = pytest.mark.integration

TEXTS = [
    "The quick brown fox",
    "a brown dog, quick!",
    "Fuchs und Füchse",
    "price is 5.00 (five)",
    "a.*b literally",
    "axxb",
    "我们去吃饭",
    "to be or not to be",
    ":) :(",
    "snake_case and kebab-case",
]


@pytest.fixture
async def told(home: House) -> tuple[UserId, RoomId]:
    """A room in which all of `TEXTS` were said, and elsewhere, too."""
    (ada,) = await home.users("ada")
    room_id = await home.room(ada)
    for text in TEXTS:
        await home.say(ada, room_id, text)
    elsewhere = await home.room(ada)
    await home.say(ada, elsewhere, "quick brown elsewhere")
    return ada, room_id


async def _found(home: House, told: tuple[UserId, RoomId], text: str) -> list[str]:
    page = await home.messaging.search_messages(*told, text, Paging(count=50))
    assert page.total == len(page.items)
    return [message["msg"] for message in page.items]


async def test_searches(home: House, told: tuple[UserId, RoomId]) -> None:
    """Newest first, of this room only."""
    for text, indices in (
        ("quick", [1, 0]),
        ("QUICK", [1, 0]),
        ("quick brown", [1, 0]),
        ('"quick brown"', [0]),
        ("quick cat", []),  # every word counts
        ("quick -brown", []),  # no negation
        ("füchse", [2]),
        ("/a.*b/", [4]),  # no pattern
        ("/ck bro/", [0]),  # also within words
        ("to be", [7]),  # no word is too common
        ("吃饭", [6]),  # no spaces between words
        (":)", [8]),  # no words at all
        ("$where", []),
        ("5.00", [3]),
        ("snake_case", [9]),
    ):
        assert await _found(home, told, text) == [TEXTS[index] for index in indices], text


async def test_what_is_not_found(home: House, told: tuple[UserId, RoomId]) -> None:
    """Deleted, hidden and edited away messages; replies in threads are found."""
    ada, room_id = told
    await home.setting("Message_KeepHistory", value=True)
    kept = await home.say(ada, room_id, "zebra")
    gone = await home.say(ada, room_id, "zebra hidden")
    await home.say(ada, room_id, "zebra in a thread", tmid=kept["_id"])
    await home.messaging.delete_message(ada, gone["_id"])

    assert await _found(home, told, "zebra") == ["zebra in a thread", "zebra"]
    assert await _found(home, told, "/zebra/") == ["zebra in a thread", "zebra"]


async def test_pages(home: House, told: tuple[UserId, RoomId]) -> None:
    """The total does not depend on the page."""
    first = await home.messaging.search_messages(*told, "brown", Paging(count=1))
    second = await home.messaging.search_messages(*told, "brown", Paging(count=1, offset=1))

    assert (first.total, second.total) == (2, 2)
    assert [first.items[0]["msg"], second.items[0]["msg"]] == [TEXTS[1], TEXTS[0]]


async def test_literal_searches_are_bounded(
    home: House, told: tuple[UserId, RoomId], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They look at the newest messages only."""
    monkeypatch.setattr(searching, "SEARCHED_LITERALLY", 3)

    assert await _found(home, told, "/e/") == [TEXTS[9], TEXTS[7]]


async def test_a_language_field_does_no_harm(home: House, told: tuple[UserId, RoomId]) -> None:
    """Other tools may write fields that the index could take for the name of a language."""
    _, room_id = told
    await home.database.rocketchat_message.insert_one(
        {"_id": "odd", "rid": room_id, "msg": "peculiar", "language": "klingon", "ts": None}
    )

    page = await home.messaging.search_messages(*told, "peculiar", Paging())
    assert [message["_id"] for message in page.items] == ["odd"]
