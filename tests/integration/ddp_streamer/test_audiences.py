"""Audiences on a real event log: nothing missed, nothing twice, whatever happens to NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from hubbub.bus.connection import Connection
from hubbub.contracts.event_log import (
    LIVE_SUBJECTS,
    LOG_STREAM,
    PREFIX,
    Audience,
    room_audience,
    user_audience,
)
from hubbub.errors import Unavailable
from services.ddp_streamer.audiences import ALL_ROOMS, Audiences, Patience
from services.ddp_streamer.audiences.log import LogReader, Read
from tests.integration.ddp_streamer.harness import Cable, Ear, FakeHub, connected, fresh_log
from tests.waiting import eventually

pytestmark = pytest.mark.integration

ROOM = room_audience("R1")
OTHER = room_audience("R2")
FAST = Patience(missing=0.5, unreachable=5.0, tail=0.1, watermark=15.0)


@dataclass
class Stage:
    hub: FakeHub
    ear: Ear
    audiences: Audiences
    cable: Cable
    client: Connection  # the streamer's, behind the cable


@pytest.fixture
async def stage(nats_url: str) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(connected(nats_url))
        await fresh_log(direct)
        hub = FakeHub(direct)
        await hub.begin()
        cable = await stack.enter_async_context(Cable(nats_url))
        ear = Ear()
        audiences: Audiences

        async def on_reconnect() -> None:
            audiences.doubt("reconnected")

        async def on_error(_: Exception) -> None:
            """Cuts are what these tests are about."""

        client = await stack.enter_async_context(
            connected(cable.url, reconnected_cb=on_reconnect, error_cb=on_error)
        )
        audiences = await stack.enter_async_context(
            Audiences(client, ear, linger=0.5, patience=FAST)
        )
        yield Stage(hub, ear, audiences, cable, client)


@dataclass
class Loss:
    """Live events of one audience that do not reach the streamer."""

    stage: Stage
    audience: Audience
    payloads: list[bytes] = field(default_factory=list)

    def __enter__(self) -> Loss:
        self._doors = self.stage.client._doors
        subject = PREFIX + "*." + self.audience
        (self._sid,) = (
            sid for sid, sub in self.stage.client._subs.items() if sub.subject == subject
        )
        self._door = self._doors[self._sid]
        self._doors[self._sid] = self._lose
        return self

    def _lose(self, subject: bytes, _reply: bytes, payload: bytes, _headers: bytes | None) -> None:
        if subject.startswith(LIVE_SUBJECTS.encode()):
            self.payloads.append(payload)

    def __exit__(self, *_: object) -> None:
        self._doors[self._sid] = self._door


async def test_what_is_published_after_acquiring_arrives_a_thousand_times(stage: Stage) -> None:
    for number in range(1000):
        audience = room_audience(f"race-{number}")
        await stage.audiences.acquire([audience])
        await stage.hub.message(f"race-{number}", "first")
        stage.audiences.release(audience)
    await eventually(lambda: len(stage.ear.events) == 1000, within=10)


async def test_acquiring_is_counted_and_the_last_release_ends_it(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    assert stage.audiences.acquire_now(ROOM)
    stage.audiences.release(ROOM)
    await stage.audiences.acquire([OTHER])
    stage.audiences.release(OTHER)
    await eventually(lambda: len(stage.audiences) == 2)  # the log's control, and ROOM
    await stage.hub.message("R1", "heard")
    await eventually(lambda: len(stage.ear.events) == 1)
    stage.audiences.release(ROOM)
    await eventually(lambda: len(stage.audiences) == 1)
    await stage.hub.message("R1", "unheard")
    await stage.audiences.acquire([OTHER])
    assert len(stage.ear.events) == 1


async def test_a_hole_is_filled_in_order(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    await stage.hub.message("R1", "m0")
    await eventually(lambda: len(stage.ear.events) == 1)
    with Loss(stage, ROOM) as loss:
        for number in range(1, 6):
            await stage.hub.message("R1", f"m{number}")
        await eventually(lambda: len(loss.payloads) == 5)
    await stage.hub.message("R1", "m6")
    await eventually(lambda: len(stage.ear.events) == 7)
    texts = [payload.split(b'"_id":"')[1][:2] for payload in stage.ear.payloads(ROOM)]
    assert texts == [b"m%d" % number for number in range(7)]


async def test_a_repair_that_fails_leaves_nobody_deaf(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its listeners are told, and hear what comes."""

    async def behind(*_: object) -> Read:
        raise ValueError("a defect")

    await stage.audiences.acquire([ROOM])
    with Loss(stage, ROOM) as loss:
        await stage.hub.message("R1", "lost")
        await eventually(lambda: loss.payloads)
    with monkeypatch.context() as broken, capture_logs() as lines:
        broken.setattr(LogReader, "behind", behind)
        await stage.hub.message("R1", "held")
        await eventually(lambda: stage.ear.lost == [ROOM])
        await eventually(lambda: stage.audiences.is_routed(ROOM))
    assert [line["task"] for line in lines if line["event"] == "task_failed"] == ["gap-repair"]
    await stage.hub.message("R1", "heard")
    await eventually(lambda: len(stage.ear.events) == 1)
    assert b"heard" in stage.ear.payloads(ROOM)[0]


async def test_a_lost_tail_is_found_by_the_watermark(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    with Loss(stage, ROOM) as loss:
        await stage.hub.message("R1", "last words")
        await eventually(lambda: len(loss.payloads) == 1)
    assert stage.ear.events == []
    await stage.hub.watermark()
    await eventually(lambda: len(stage.ear.events) == 1, within=10)


@pytest.mark.parametrize("seconds", [0.0, 1.0])
async def test_a_streamer_cut_from_nats_repairs_itself(stage: Stage, seconds: float) -> None:
    rooms = [f"R{number}" for number in range(20)]
    await stage.audiences.acquire([room_audience(room) for room in rooms])
    sent: dict[str, list[bytes]] = {room: [] for room in rooms}

    async def send(text: str) -> None:
        for room in rooms:
            await stage.hub.message(room, text)
            sent[room].append(text.encode())

    await send("before")
    stage.cable.cut()
    await send("during-1")
    await asyncio.sleep(seconds)
    await send("during-2")
    await stage.cable.mend()
    for number in range(10):
        await send(f"after-{number}")
    await eventually(lambda: len(stage.ear.events) >= 13 * 20, within=10)
    for room in rooms:
        heard = stage.ear.payloads(room_audience(room))
        assert [payload.split(b'"')[-2] for payload in heard] == sent[room]
    assert stage.ear.lost == []


async def test_events_under_way_while_the_cable_is_cut_again_and_again(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM, OTHER])
    done = asyncio.Event()

    async def disturb() -> None:
        while not done.is_set():
            stage.cable.cut()
            await asyncio.sleep(0.05)
            await stage.cable.mend()
            await asyncio.sleep(0.2)

    disturbance = asyncio.create_task(disturb())
    for number in range(600):
        await stage.hub.message("R1" if number % 3 else "R2", f"m{number}")
    done.set()
    await disturbance
    await stage.hub.watermark()
    await eventually(lambda: len(stage.ear.events) >= 600, within=10)
    for audience, expected in (
        (ROOM, [f"m{n}".encode() for n in range(600) if n % 3]),
        (OTHER, [f"m{n}".encode() for n in range(0, 600, 3)]),
    ):
        heard = [payload.split(b'"')[-2] for payload in stage.ear.payloads(audience)]
        assert heard == expected


async def test_a_wildcard_reads_what_it_missed(stage: Stage) -> None:
    await stage.audiences.acquire([ALL_ROOMS])
    await stage.hub.message("R1", "a", room_type="c")
    stage.cable.cut()
    await stage.hub.message("R2", "b", room_type="c")
    await stage.hub.message("R3", "c", room_type="c")
    await stage.cable.mend()
    await stage.hub.message("R1", "d", room_type="c")
    await eventually(lambda: len(stage.ear.wild) >= 4)
    assert [event.key for event in stage.ear.wild] == ["R1", "R2", "R3", "R1"]


async def test_what_lies_between_two_places_can_be_read(stage: Stage) -> None:
    await stage.hub.message("R1", "long before")
    begun = await stage.hub.publish(user_audience("u1"), b"{}", stream="", key="")
    for number in range(300):
        await stage.hub.message("R1", f"m{number}")
    await stage.audiences.acquire([ROOM])
    position = stage.audiences.position(ROOM)
    await stage.hub.message("R1", "live")
    events = await stage.audiences.read(ROOM, begun, position)
    heard = [event.payload.split(b'"')[-2] for event in events]
    assert heard == [b"m%d" % number for number in range(300)]


async def test_what_a_deposed_leader_still_writes_does_not_count(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    await stage.hub.message("R1", "old")
    successor = FakeHub(stage.hub.client, epoch=2)
    await successor.begin()
    await successor.message("R1", "new")
    await stage.hub.message("R1", "too late")
    await successor.message("R1", "newer")
    await eventually(lambda: len(stage.ear.events) >= 3)
    heard = [payload.split(b'"')[-2] for payload in stage.ear.payloads(ROOM)]
    assert heard == [b"old", b"new", b"newer"]


async def test_markers_of_before_the_start_count_for_what_is_read(stage: Stage) -> None:
    begun = await stage.hub.message("R1", "old")
    successor = FakeHub(stage.hub.client, epoch=2)
    await successor.begin()
    await stage.hub.message("R1", "too late")
    last = await successor.message("R1", "new")
    async with Audiences(stage.hub.client, Ear(), patience=FAST) as later:
        events = await later.read(ROOM, begun - 1, last)
        assert [event.payload.split(b'"')[-2] for event in events] == [b"old", b"new"]


async def test_a_marker_with_resync_loses_every_audience(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM, OTHER])
    stage.hub.epoch += 1
    await stage.hub.begin(resync=True)
    await eventually(lambda: {ROOM, OTHER} <= set(stage.ear.lost))
    await stage.audiences.acquire([ROOM])
    await stage.hub.message("R1", "and on")
    await eventually(lambda: len(stage.ear.events) == 1)


async def test_a_log_that_was_replaced_is_noticed_and_followed(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    for number in range(5):
        await stage.hub.message("R1", f"m{number}")
    await eventually(lambda: len(stage.ear.events) == 5)
    await stage.hub.watermark()
    stage.cable.cut()
    await fresh_log(stage.hub.client)
    hub = FakeHub(stage.hub.client, epoch=2, log_epoch="log-2")
    await hub.begin(resync=True)
    await stage.cable.mend()
    await eventually(lambda: ROOM in stage.ear.lost)
    await stage.audiences.acquire([ROOM])
    await hub.message("R1", "in the new log")
    await eventually(lambda: len(stage.ear.events) == 6)


async def test_a_log_that_was_set_back_is_noticed_by_what_stands_in_known_places(
    stage: Stage,
) -> None:
    """Nobody says so: same name, same leader, and no connection was cut."""
    await stage.audiences.acquire([ROOM, OTHER])
    for number in range(5):
        await stage.hub.message("R1", f"m{number}")
    await eventually(lambda: len(stage.ear.events) == 5)
    await fresh_log(stage.hub.client)
    await stage.hub.message("R2", "elsewhere")
    await stage.hub.message("R1", "at a place that was passed")
    await eventually(lambda: {ROOM, OTHER} <= set(stage.ear.lost))


async def test_a_log_that_lost_its_last_event_is_noticed_by_the_next_leaders_marker(
    stage: Stage,
) -> None:
    """It stands where that event stood. What is told again behind it would come twice."""
    await stage.audiences.acquire([ROOM, OTHER])
    await stage.hub.message("R1", "heard by all")
    await eventually(lambda: len(stage.ear.events) == 1)
    await fresh_log(stage.hub.client)
    await stage.hub.begin()
    successor = FakeHub(stage.hub.client, epoch=2, log_epoch=stage.hub.log_epoch)
    await successor.begin()
    await eventually(lambda: {ROOM, OTHER} <= set(stage.ear.lost))
    await stage.audiences.acquire([ROOM])
    assert stage.audiences._continuity.leaders.highest == 2


async def test_a_watermark_that_goes_back_makes_the_log_prove_itself(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    for number in range(5):
        await stage.hub.message("R1", f"m{number}")
    await stage.hub.watermark()
    await eventually(lambda: stage.audiences._continuity._proven >= stage.hub.last)
    await fresh_log(stage.hub.client)
    await stage.hub.message("R2", "nobody listens to this")
    await stage.hub.watermark()
    await eventually(lambda: ROOM in stage.ear.lost)


async def test_a_deposed_leaders_watermark_is_not_believed(stage: Stage) -> None:
    """It knows neither the new leader nor the name that the log has by now."""
    await stage.audiences.acquire([ROOM])
    successor = FakeHub(stage.hub.client, epoch=2, log_epoch="log-2")
    await successor.begin()
    await eventually(lambda: stage.audiences._continuity.leaders.log_epoch == "log-2")
    await stage.audiences.acquire([ROOM])
    lost = list(stage.ear.lost)
    await stage.hub.watermark()
    await successor.message("R1", "and on")
    await eventually(lambda: len(stage.ear.events) == 1)
    assert stage.ear.lost == lost
    assert stage.audiences._continuity.leaders.log_epoch == "log-2"


async def test_a_purged_log_loses_nobody_who_has_heard_everything(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    await stage.hub.message("R1", "before")
    await eventually(lambda: len(stage.ear.events) == 1)
    await stage.hub.client.jetstream().purge_stream(LOG_STREAM)
    await stage.hub.message("R1", "after")
    await eventually(lambda: len(stage.ear.events) == 2)
    assert stage.ear.lost == []


async def test_a_window_that_has_passed_is_said(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    await stage.hub.message("R1", "heard")
    await eventually(lambda: len(stage.ear.events) == 1)
    stage.cable.cut()
    last = 0
    for number in range(5):
        last = await stage.hub.message("R1", f"m{number}")
    await stage.hub.client.jetstream().purge_stream(LOG_STREAM, seq=last)
    await stage.cable.mend()
    await eventually(lambda: ROOM in stage.ear.lost)


async def test_an_event_that_the_log_does_not_have_is_a_loss(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    with Loss(stage, ROOM) as loss:
        gone = await stage.hub.message("R1", "gone")
        await eventually(lambda: len(loss.payloads) == 1)
    await stage.hub.client.jetstream().delete_msg(LOG_STREAM, gone)
    await stage.hub.watermark()
    await eventually(lambda: stage.ear.lost == [ROOM], within=5)


async def test_a_full_receiver_gets_everything_later_and_in_order(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    stage.ear.fill(full=True)
    for number in range(50):
        await stage.hub.message("R1", f"m{number}")
    await stage.client.flush()
    assert stage.ear.events == []
    stage.ear.fill(full=False)
    await eventually(lambda: len(stage.ear.events) == 50)
    heard = [payload.split(b'"')[-2] for payload in stage.ear.payloads(ROOM)]
    assert heard == [b"m%d" % number for number in range(50)]


async def test_without_nats_an_audience_cannot_be_taken(stage: Stage) -> None:
    stage.cable.cut()
    with pytest.raises(Unavailable):
        await stage.audiences.acquire([ROOM], timeout=0.3)
    await stage.cable.mend()
    await stage.audiences.acquire([ROOM], timeout=8)
    await stage.hub.message("R1", "back")
    await eventually(lambda: len(stage.ear.events) == 1)


async def test_ephemeral_events_of_rooms_arrive(stage: Stage) -> None:
    await stage.audiences.acquire([ROOM])
    await stage.hub.ephemeral(ROOM, b"typing", stream="notify-room", key="R1/typing", origin="c1")
    await eventually(lambda: [event.payload for event in stage.ear.ephemeral] == [b"typing"])
