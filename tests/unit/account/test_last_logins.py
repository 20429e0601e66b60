"""Dates of logins, written for many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from hubbub.clock import FakeClock
from hubbub.errors import Unavailable
from hubbub.ids import UserId
from services.account.last_logins import LastLogins
from tests.waiting import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Store:
    def __init__(self) -> None:
        self.writes: list[Mapping[UserId, datetime]] = []
        self.away = 0

    async def note_logins(self, dates: Mapping[UserId, datetime]) -> None:
        if self.away:
            self.away -= 1
            raise Unavailable("away")
        self.writes.append(dates)


async def test_a_storm_is_few_writes() -> None:
    """With the newest date of each user."""
    store = Store()
    dates = LastLogins(store, clock=FakeClock())
    users = [UserId(f"u{number}") for number in range(1_200)]
    for user in users:
        dates.note(user, NOW)
    dates.note(users[0], NOW + timedelta(minutes=2))
    running = asyncio.create_task(dates.run())
    await eventually(lambda: sum(map(len, store.writes)) == len(users))
    running.cancel()

    assert [len(write) for write in store.writes] == [500, 500, 200]
    assert store.writes[0][users[0]] == NOW + timedelta(minutes=2)


async def test_a_database_that_is_away_ends_nothing() -> None:
    store = Store()
    store.away = 1
    dates = LastLogins(store, clock=FakeClock())
    running = asyncio.create_task(dates.run())
    dates.note(UserId("a"), NOW)
    await eventually(lambda: not store.away)
    dates.note(UserId("b"), NOW)
    await eventually(lambda: store.writes)
    running.cancel()
    assert store.writes == [{"b": NOW}]


async def test_the_last_flush_waits_for_what_is_being_written() -> None:
    """Else the end of the process would cut it off."""
    store = Store()
    entered, go_on = asyncio.Event(), asyncio.Event()

    class Slow(Store):
        async def note_logins(self, dates: Mapping[UserId, datetime]) -> None:
            entered.set()
            await go_on.wait()
            store.writes.append(dates)

    dates = LastLogins(Slow(), clock=FakeClock())
    running = asyncio.create_task(dates.run())
    dates.note(UserId("a"), NOW)
    await entered.wait()
    last = asyncio.create_task(dates.flush())
    await asyncio.sleep(0)
    assert not last.done()
    go_on.set()
    await last
    running.cancel()
    assert store.writes == [{"a": NOW}]
