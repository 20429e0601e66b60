"""What streamers count is what happened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from hubbub.contracts.event_log import PRESENCE, Header, Kind, room_audience
from hubbub.contracts.messaging import Messaging
from hubbub.ddp.stream import stream_frame
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.closing import ResyncCloser
from services.ddp_streamer.fanout import Fanout
from services.ddp_streamer.fanout.sampling import Sampling
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.metrics import STAGES, StreamerMetrics
from services.ddp_streamer.outbox import MAX_STUCK
from services.ddp_streamer.tasks import Tasks
from tests.unit.ddp_streamer.fakes import Client, narrow
from tests.unit.ddp_streamer.stage import FakeListening, FakeRoutes, message_event, reading
from tests.unit.ddp_streamer.test_fanout import FakeConsequences, FakeMessaging, FakeRights
from tests.unit.ddp_streamer.test_outbox import Setup
from tests.waiting import eventually

TOPIC = ("room-messages", "R1")


class Counted:
    """A fan-out and its meters."""

    def __init__(self, tasks: Tasks) -> None:
        self.registry = CollectorRegistry()
        self.metrics = StreamerMetrics(self.registry)
        self.rights = FakeRights()
        self.messaging = FakeMessaging()
        self.fanout = Fanout(
            cast("Messaging", self.messaging), self.rights, self.metrics, tasks=tasks
        )
        self.fanout.connect(FakeRoutes(), FakeConsequences())

    def listen(self, name: str, *topics: tuple[str, str], user: str = "u") -> FakeListening:
        session = FakeListening(name, user)
        self.fanout.people.enter(user, session)
        for topic in topics:
            self.fanout.topics.add(topic, session)
        return session

    def value(self, name: str, **labels: str) -> float:
        """A sample; what never happened is 0."""
        self.metrics.transfer()
        return self.registry.get_sample_value(f"hubbub_{name}", labels) or 0.0


@pytest.fixture
async def counted() -> AsyncIterator[Counted]:
    async with Tasks() as tasks:
        made = Counted(tasks)
        yield made
        await made.fanout.memberships.close()


def timed_event(text: str = "m", *, committed: float = -0.3, published: float = -0.2) -> Event:
    """A message of R1, committed and published so many seconds from now."""
    event = message_event("R1", text, 1)
    now = time.time()
    headers = {
        **event.headers,
        Header.COMMITTED: str(round((now + committed) * 1000)),
        Header.PUBLISHED: str(round((now + published) * 1000)),
    }
    event.headers = headers
    return event


@pytest.mark.parametrize("sockets", [1, 2, 31, 32, 33, 64, 100])
async def test_one_recipient_of_each_event_is_timed(counted: Counted, sockets: int) -> None:
    """Whatever the number of recipients, and every stage of it."""
    for number in range(sockets):
        counted.listen(f"c{number}", TOPIC)
    for _ in range(5):
        counted.fanout.on_event(timed_event(), wildcard=False)

    await eventually(lambda: counted.fanout._queue.idle)
    for stage in STAGES:
        assert counted.value("delivery_latency_seconds_count", stage=stage) == 5
    assert counted.value("streamer_fanout_recipients_sum") == 5 * sockets
    assert counted.value("streamer_fanout_duration_seconds_count") == 5
    assert counted.value("streamer_events_received_total", stream="room-messages") == 5
    delivered = counted.value("streamer_deliveries_by_stream_total", stream="room-messages")
    assert delivered == 5 * sockets


def test_of_many_events_one_in_sixteen_is_timed() -> None:
    """Of few all of them; the second before decides."""
    sampling, now = Sampling(), 1_000.0

    def second(events: int) -> int:
        nonlocal now
        taken = 0
        for _ in range(events):
            now += 1.0 / events
            taken += sampling.takes(now)
        return taken

    assert second(50) == 50
    assert second(50) == 50
    second(3_200)
    second(3_200)  # periods do not begin with ours
    assert 195 <= second(3_200) <= 205
    second(50)
    second(50)
    assert second(50) == 50


async def test_each_stage_says_its_own_part(counted: Counted) -> None:
    counted.listen("c1", TOPIC)
    counted.fanout.on_event(timed_event(committed=-3.0, published=-2.0), wildcard=False)

    def seconds(stage: str) -> float:
        return counted.value("delivery_latency_seconds_sum", stage=stage)

    assert seconds("commit_to_hub") == pytest.approx(1.0, abs=0.01)
    assert seconds("hub_to_streamer") == pytest.approx(2.0, abs=0.1)
    assert seconds("streamer_to_socket") == pytest.approx(0.0, abs=0.1)
    assert seconds("total") == pytest.approx(3.0, abs=0.1)


async def test_a_clock_that_is_ahead_is_seen(counted: Counted) -> None:
    """Negative durations count as nothing, and as what they are."""
    counted.listen("c1", TOPIC)
    counted.fanout.on_event(timed_event(committed=4.0, published=5.0), wildcard=False)

    assert counted.value("clock_skew_observations_total") == 2
    assert counted.value("delivery_latency_seconds_sum", stage="total") == 0
    assert counted.value("delivery_latency_seconds_count", stage="total") == 1


async def test_what_nobody_wants_is_not_timed(counted: Counted) -> None:
    counted.fanout.on_event(timed_event(), wildcard=False)

    assert counted.value("streamer_filtered_total", reason="unsubscribed") == 1
    assert counted.value("delivery_latency_seconds_count", stage="total") == 0
    assert counted.value("streamer_fanout_recipients_count") == 1
    assert counted.value("streamer_fanout_recipients_sum") == 0


async def test_who_caused_it_is_filtered(counted: Counted) -> None:
    topic = ("notify-room", "R1/typing")
    counted.listen("c1", topic)
    counted.listen("c2", topic)
    frame = stream_frame("notify-room", "R1/typing", b'["bob",true]')
    event = Event(
        room_audience("R1"), 0, 0, 0, "", Kind.FRAME, *topic, {Header.ORIGIN: "c1"}, frame
    )
    counted.fanout.on_ephemeral(event)

    assert counted.value("streamer_filtered_total", reason="self") == 1
    assert counted.value("streamer_deliveries_by_stream_total", stream="notify-room") == 1


async def test_presence_is_counted_by_its_stream(counted: Counted) -> None:
    session = counted.listen("c1")
    counted.fanout.presence.watch(session.recipient, ["bob"])
    frame = stream_frame("user-presence", "bob", b'[["bob",1,""]]')
    event = Event(
        PRESENCE, 0, 0, 0, "", Kind.FRAME, "user-presence", "bob", {Header.UID: "bob"}, frame
    )
    counted.fanout.on_ephemeral(event)

    assert counted.value("streamer_deliveries_by_stream_total", stream="user-presence") == 1
    assert counted.value("streamer_events_received_total", stream="user-presence") == 1


async def test_public_rooms_that_one_may_not_read(counted: Counted) -> None:
    """Counted once per user and message, when the answer is known."""
    session = counted.listen("c1", user="ann")
    person = counted.fanout.people.get("ann")
    assert person is not None
    await counted.fanout.memberships.want(person)
    person.my_messages[session.recipient] = session
    counted.fanout.public_rooms.add(person)
    for _ in range(3):
        event = message_event("R9", "m", 1, room_type="c")
        counted.fanout.on_event(event, wildcard=True)

    await eventually(lambda: counted.value("streamer_filtered_total", reason="no_permission") == 3)
    counted.rights.known[("ann", "R9")] = True
    counted.fanout.on_event(message_event("R9", "m", 2, room_type="c"), wildcard=True)
    assert counted.value("streamer_deliveries_by_stream_total", stream="room-messages") == 1


async def test_unknown_streams_share_a_name(counted: Counted) -> None:
    """Whatever a hub of another release publishes."""
    counted.listen("c1", ("novelties", "x"))
    frame = stream_frame("novelties", "x", b"[1]")
    event = Event(room_audience("R1"), 1, 0, 1, "", Kind.FRAME, "novelties", "x", {}, frame)
    counted.fanout.on_event(event, wildcard=False)

    assert counted.value("streamer_events_received_total", stream="other") == 1
    assert counted.value("streamer_deliveries_by_stream_total", stream="other") == 1


# --- sockets ------------------------------------------------------------------------------------


def test_bytes_add_up() -> None:
    """By type, however the parts of a message fall between two transfers."""
    registry = CollectorRegistry()
    metrics = StreamerMetrics(registry)

    def by_type(way: str, kind: str) -> float:
        labels = {"direction": way, "type": kind}
        return registry.get_sample_value("hubbub_streamer_bytes_total", labels) or 0.0

    metrics.tally.bytes_in = 700  # the first part of a message, then its rest
    metrics.transfer()
    metrics.tally.bytes_in = 320
    metrics.tally.bytes_in_by_type["method"] = 1_000
    metrics.transfer()
    metrics.tally.bytes_in = 700
    metrics.transfer()
    assert by_type("in", "method") == 1_000
    assert by_type("in", "other") == 720

    metrics.tally.bytes_out_by_type["result"] = 500  # queued, and written later
    metrics.transfer()
    metrics.tally.bytes_out = 2_500
    metrics.transfer()
    assert by_type("out", "result") == 500
    assert by_type("out", "changed") == 2_000


def test_what_a_slow_client_loses_is_counted() -> None:
    client = Client(narrow(soft=1_024, hard=4_096))
    client.frames()
    client.transport.room = 0
    sent = 0
    while client.connection.send_shared(SharedFrame(b"x" * 300)):
        sent += 1
        client.loop.run()
    client.metrics.transfer()

    assert sent > 1
    dropped = reading(client.metrics.dropped.labels("slow_client"))
    assert 1 <= dropped <= sent + 1  # those that no transport had taken, and the last one


def test_frames_of_a_lost_room_are_counted() -> None:
    client = Client()
    client.frames()
    frame = stream_frame("room-messages", "R1", b'[{"_id":"m"}]')
    client.connection.send_shared(SharedFrame(frame))
    client.connection.send_shared(SharedFrame(stream_frame("room-messages", "R2", b"[{}]")))
    client.connection.drop_room("R1")
    client.metrics.transfer()

    assert reading(client.metrics.filtered.labels("not_member")) == 1


def test_when_it_is_written_is_when_the_client_takes_it() -> None:
    """A client that does not read is timed when it does; one that goes is not."""
    setup = Setup()
    told: list[str] = []

    def tell(name: str) -> Callable[[], None]:
        return lambda: told.append(name)

    quick, _ = setup.outbox()
    slow, pipe = setup.outbox()
    gone, gone_pipe = setup.outbox()
    for blocked in (pipe, gone_pipe):
        blocked.blocked = True
    for name, outbox in (("quick", quick), ("slow", slow), ("gone", gone)):
        outbox.put(b"frame")
        setup.flusher.when_written(outbox, tell(name))
    assert told == []
    setup.loop.run()
    assert told == ["quick"]
    gone.close()
    pipe.unblock()
    assert told == ["quick", "slow"]
    assert not setup.flusher._stuck
    assert not setup.flusher._asked
    assert not setup.flusher.congested


def test_those_who_wait_to_be_timed_are_bounded() -> None:
    setup = Setup(hard=1_000_000)
    outbox, pipe = setup.outbox()
    pipe.blocked = True
    for _ in range(3 * MAX_STUCK):
        outbox.put(b"frame")
        setup.flusher.when_written(outbox, lambda: None)
        setup.loop.run()

    assert len(setup.flusher._stuck) == MAX_STUCK
    assert not setup.flusher._asked


def test_backlogs_are_read_when_somebody_asks() -> None:
    metrics = StreamerMetrics(CollectorRegistry())
    waiting = [10, 300]
    metrics.watch_backlogs(lambda: waiting, soft=100)
    assert reading(metrics.send_queue_bytes.labels("sum")) == 310
    assert reading(metrics.send_queue_bytes.labels("max")) == 300
    assert reading(metrics.slow_clients) == 1
    waiting.clear()
    assert reading(metrics.send_queue_bytes.labels("max")) == 0
    assert reading(metrics.slow_clients) == 0


async def test_a_resync_is_no_drain() -> None:
    """Whoever is told to load anew is not counted among those who were drained."""
    client = Client()
    closer = ResyncCloser(window=0.0)

    class Lost:
        closed, in_login = False, False

        def close(self, code: int, reason: str, **keywords: object) -> None:
            self.closed = True
            client.connection.close(code, reason, cause="error")
            assert keywords == {"cause": "error"}

    lost = Lost()
    closer.add(lost)
    running = asyncio.create_task(closer.run())
    await eventually(lambda: lost.closed)
    running.cancel()
    client.transport.lose()

    assert reading(client.metrics.disconnects.labels("error")) == 1
    assert reading(client.metrics.disconnects.labels("drain")) == 0


def test_logins_have_known_methods() -> None:
    registry = CollectorRegistry()
    metrics = StreamerMetrics(registry)
    metrics.login("oauth-of-somebody", "refused")
    metrics.login("resume", "ok")

    def logins(method: str, outcome: str) -> float | None:
        labels = {"method": method, "outcome": outcome}
        return registry.get_sample_value("hubbub_streamer_logins_total", labels)

    assert logins("other", "refused") == 1
    assert logins("resume", "ok") == 1


async def test_a_task_that_fails_is_counted() -> None:
    failed: list[str] = []

    async def fail() -> None:
        raise ValueError("a defect")

    async with Tasks(on_failure=failed.append) as tasks:
        tasks.spawn(fail(), "some-work")
        await eventually(lambda: not len(tasks))

    assert failed == ["some-work"]
