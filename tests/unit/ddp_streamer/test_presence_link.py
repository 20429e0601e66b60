"""What presence is told, and which sockets watch whom."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from hubbub.clock import FakeClock
from hubbub.contracts.event_log import PRESENCE, Header, Kind
from hubbub.contracts.presence import ConnectionRecord, Presence, Status
from hubbub.errors import Unavailable
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.fanout.presence_watch import PresenceWatch
from services.ddp_streamer.presence_link import CHUNK, PresenceLink
from tests.unit.ddp_streamer.stage import FakeSocket
from tests.waiting import eventually


class FakePresence:
    def __init__(self) -> None:
        self.told: list[tuple[str, list[tuple[str, str, int]]]] = []
        self.away = False

    def _note(self, call: str, records: list[ConnectionRecord]) -> None:
        if self.away:
            raise Unavailable("away")
        self.told.append((call, [(r.connection_id, r.status.value, r.sequence) for r in records]))

    async def new_connection(self, record: ConnectionRecord, *_: str) -> None:
        self._note("new", [record])

    async def set_connection_status(self, record: ConnectionRecord, *_: str) -> None:
        self._note("status", [record])

    async def remove_connections(self, records: list[ConnectionRecord], *_: str) -> None:
        self._note("remove", records)

    async def announce(self, records: list[ConnectionRecord], *_: str) -> None:
        self._note("announce", records)


class Socket:
    def __init__(self, name: str, user_id: str | None = "u") -> None:
        self.public_id = name
        self.user_id = user_id
        self.sequence = 0


@pytest.fixture
def presence() -> FakePresence:
    return FakePresence()


@pytest.fixture
def link(presence: FakePresence) -> PresenceLink:
    return PresenceLink(cast("Presence", presence), "i-1", clock=FakeClock())


async def test_a_socket_from_login_to_close(link: PresenceLink, presence: FakePresence) -> None:
    socket = Socket("a")
    link.opened(socket)
    await link.flush()
    link.status(socket, Status.AWAY)
    await link.flush()
    link.closed(socket)
    link.closed(socket)
    await link.flush()
    assert presence.told == [
        ("new", [("a", "online", 1)]),
        ("status", [("a", "away", 2)]),
        ("remove", [("a", "away", 3)]),
    ]


async def test_many_at_once_are_told_in_few_calls(
    link: PresenceLink, presence: FakePresence
) -> None:
    sockets = [Socket(f"s{number}") for number in range(CHUNK + 5)]
    for socket in sockets:
        link.opened(socket)
    await link.flush()

    assert [(call, len(records)) for call, records in presence.told] == [
        ("announce", CHUNK),
        ("announce", 5),
    ]
    assert {name for _, records in presence.told for name, _, _ in records} == {
        socket.public_id for socket in sockets
    }


async def test_what_is_not_told_yet_is_told_with_its_latest_state(
    link: PresenceLink, presence: FakePresence
) -> None:
    socket, brief = Socket("a"), Socket("b")
    link.opened(socket)
    link.status(socket, Status.AWAY)
    link.opened(brief)
    link.closed(brief)
    await link.flush()
    assert presence.told == [("new", [("a", "away", 2)]), ("remove", [("b", "online", 2)])]


async def test_anonymous_sockets_are_not_told(link: PresenceLink, presence: FakePresence) -> None:
    nobody = Socket("a", None)
    link.opened(nobody)
    link.status(nobody, Status.AWAY)
    link.closed(nobody)
    await link.flush()
    assert presence.told == []


async def test_many_closed_sockets_are_told_in_few_calls(
    link: PresenceLink, presence: FakePresence
) -> None:
    sockets = [Socket(str(number)) for number in range(CHUNK + 5)]
    for socket in sockets:
        link.opened(socket)
    await link.flush()
    presence.told.clear()
    for socket in sockets:
        link.closed(socket)
    await link.flush()
    assert [(call, len(records)) for call, records in presence.told] == [
        ("remove", CHUNK),
        ("remove", 5),
    ]


async def test_who_leaves_in_a_drain_is_told_of_once_at_its_end(
    link: PresenceLink, presence: FakePresence
) -> None:
    """Most of them are about to appear elsewhere; news of those still here is told as ever."""
    sockets = [Socket(str(number)) for number in range(300)]
    for socket in sockets:
        link.opened(socket)
    await link.flush()
    presence.told.clear()
    running = asyncio.create_task(link.run())
    link.hold_closed()
    for socket in sockets[1:]:
        link.closed(socket)
        await asyncio.sleep(0)
    link.status(sockets[0], Status.AWAY)
    await eventually(lambda: presence.told == [("status", [("0", "away", 2)])])
    link.closed(sockets[0])
    await asyncio.sleep(0.01)
    assert len(presence.told) == 1

    await link.flush()
    running.cancel()
    assert [(call, len(records)) for call, records in presence.told[1:]] == [("remove", 300)]


async def test_after_an_absence_everything_is_announced(
    link: PresenceLink, presence: FakePresence
) -> None:
    presence.away = True
    link.opened(Socket("a"))
    closed = Socket("b")
    link.opened(closed)
    link.closed(closed)
    running = asyncio.create_task(link.run())
    await asyncio.sleep(0.01)
    presence.away = False
    await eventually(lambda: len(presence.told) == 2)
    running.cancel()
    assert presence.told == [
        ("announce", [("a", "online", 1)]),
        ("remove", [("b", "online", 2)]),
    ]


def presence_event(user_id: str) -> Event:
    headers = {Header.UID: user_id}
    payload = b'{"msg":"changed","id":"%b"}' % user_id.encode()
    return Event(PRESENCE, 0, 0, 0, "", Kind.FRAME, "user-presence", user_id, headers, payload)


def test_watching_by_deltas() -> None:
    watch = PresenceWatch(now=lambda: 0.0, max_watched=2)
    first, second = FakeSocket("1"), FakeSocket("2")
    watch.watch(first, ["a", "b", "a", "beyond the limit"])
    watch.watch(second, ["a"])
    watch.unwatch(first, ["b", "unknown"])

    def watchers(user_id: str) -> list[object]:
        found = watch.deliver(presence_event(user_id))
        assert found is not None
        frame, recipients = found
        assert frame.droppable
        return list(recipients)

    assert watchers("a") == [first, second]
    assert watchers("b") == []
    assert watchers("beyond the limit") == []
    watch.forget(first)
    assert watchers("a") == [second]
    assert len(watch) == 1


def test_a_change_of_just_now_is_sent_to_a_new_watcher() -> None:
    now = [1000.0]
    watch = PresenceWatch(now=lambda: now[0], max_watched=10)
    watch.deliver(presence_event("a"))
    early, late = FakeSocket("1"), FakeSocket("2")
    now[0] += 29
    watch.watch(early, ["a"])
    now[0] += 2
    watch.watch(late, ["a"])
    assert len(early.sent) == 1
    assert late.sent == []
