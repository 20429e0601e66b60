"""What the tail does about refusals of the database, with a database that refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from bson.codec_options import CodecOptions
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from hubbub.clock import FakeClock
from hubbub.mongo import Database
from services.stream_hub.domain import watched
from services.stream_hub.feed import Feed, Read
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.tail import Tail, TailStuck
from tests.unit.stream_hub.fakes import metrics, position

TOO_LARGE = OperationFailure("BSONObj size is invalid", 10334)
FORBIDDEN = OperationFailure("not authorized", 13)
AWAY = ConnectionFailure("connection closed")


class _Stream:
    """A change stream with nothing in it."""

    alive = True

    def __init__(self, token: str) -> None:
        self.resume_token = {"_data": token}

    async def try_next(self) -> None:
        await asyncio.sleep(0)

    async def close(self) -> None:
        return None


class _Refusing:
    """A database whose answers to `watch` a test decides."""

    codec_options: CodecOptions[Any] = CodecOptions()

    def __init__(self, answers: Callable[[bool], Iterator[PyMongoError | None]]) -> None:
        self._whole, self._places = answers(True), answers(False)
        self.opened: list[str] = []

    def with_options(self, **_: Any) -> _Refusing:
        return self

    async def watch(self, pipeline: list[Any], **options: Any) -> _Stream:
        whole = pipeline != watched.places()
        after = (options["start_after"] or {}).get("_data", "present")
        self.opened.append(f"{'whole' if whole else 'places'} {after}")
        error = next(self._whole if whole else self._places)
        if error is not None:
            raise error
        return _Stream("9now" if after == "present" else after)


async def _read(database: _Refusing, enough: Callable[[list[Read]], bool]) -> list[Read]:
    """What comes from it, until there is `enough`."""
    feed, found = Feed(100), list[Read]()
    tail = Tail(
        cast("Database", database), StreamHubSettings(), clock=FakeClock(), metrics=metrics()
    )
    running = asyncio.ensure_future(tail.run(position(1), feed))
    try:
        async with asyncio.timeout(10):
            while not enough(found):
                taking = asyncio.ensure_future(feed.take(100))
                await asyncio.wait({taking, running}, return_when=asyncio.FIRST_COMPLETED)
                if running.done():
                    taking.cancel()
                    running.result()
                found += taking.result()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return found


def _then(*errors: PyMongoError | None) -> Iterator[PyMongoError | None]:
    yield from errors
    while True:
        yield None


async def test_a_break_while_the_culprit_is_searched_is_no_lost_history() -> None:
    """Nothing is known to be missing because nobody answered."""
    database = _Refusing(
        lambda whole: _then(TOO_LARGE, TOO_LARGE, TOO_LARGE) if whole else _then(AWAY)
    )
    found = await _read(database, lambda found: len(found) > 0)
    assert not any(item.gap for item in found)
    assert found[0].position == position(1)


async def test_a_culprit_that_cannot_even_be_named_costs_the_place_in_the_history() -> None:
    """Once: reading goes on at the present."""
    database = _Refusing(
        lambda whole: _then(TOO_LARGE, TOO_LARGE, TOO_LARGE) if whole else _then(TOO_LARGE)
    )
    found = await _read(database, lambda found: len(found) > 5)
    assert [item.gap for item in found].count("history_lost") == 1
    assert found[-1].position.token == "9now"


async def test_who_may_not_read_lets_another_one_try() -> None:
    """It is not for a missing right that clients would have to load anew."""
    database = _Refusing(lambda whole: _then(*[FORBIDDEN] * 10))
    with pytest.raises(TailStuck):
        await _read(database, lambda found: bool(found))


async def test_a_history_that_is_gone_is_asked_for_once() -> None:
    gone = OperationFailure("resume point may no longer be in the oplog", 286)
    database = _Refusing(lambda whole: _then(gone) if whole else _then())
    found = await _read(database, lambda found: len(found) > 5)
    assert [item.gap for item in found].count("history_lost") == 1
    assert database.opened == [
        f"whole {position(1).token}",
        "places present",
        "whole 9now",
    ]


async def test_where_nothing_happens_the_place_moves_on_all_the_same() -> None:
    """A place from an empty answer can be resumed from for longer than that of an old change."""
    database = _Refusing(lambda whole: _then())
    found = await _read(database, lambda found: len(found) > 2)
    assert all(item.change is None and not item.gap for item in found)
