"""The bounded way out: coalescing, limits, slow clients."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from services.ddp_streamer.outbox import CHUNK, Flusher, Outbox
from tests.unit.ddp_streamer.fakes import FakeLoop


class Pipe:
    """A transport for an outbox alone."""

    def __init__(self) -> None:
        self.outbox: Outbox | None = None
        self.writes: list[bytes] = []
        self.waiting = 0
        self.blocked = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self.blocked:
            self.waiting += len(data)
            assert self.outbox is not None
            self.outbox.pause(0.0)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def unblock(self) -> None:
        self.blocked, self.waiting = False, 0
        assert self.outbox is not None
        self.outbox.resume()


class Setup:
    def __init__(self, soft: int = 1_000, hard: int = 4_000) -> None:
        self.loop = FakeLoop()
        self.flusher = Flusher(cast(asyncio.AbstractEventLoop, self.loop))
        self._limits = {"soft": soft, "hard": hard}

    def outbox(self) -> tuple[Outbox, Pipe]:
        pipe = Pipe()
        pipe.outbox = Outbox(pipe, self.flusher, now=0.0, **self._limits)
        return pipe.outbox, pipe


@pytest.fixture
def setup() -> Setup:
    return Setup()


def test_one_write_for_everything_of_one_turn(setup: Setup) -> None:
    pairs = [setup.outbox() for _ in range(50)]
    for number in range(20):
        frame = b"%02d" % number
        for outbox, _ in pairs:
            assert outbox.put(frame)
    assert all(not pipe.writes for _, pipe in pairs)
    setup.loop.run()
    whole = b"".join(b"%02d" % number for number in range(20))
    assert [pipe.writes for _, pipe in pairs] == [[whole]] * 50
    joined = {id(pipe.writes[0]) for _, pipe in pairs}
    assert len(joined) == 1  # the same bytes object for every socket


def test_a_single_frame_is_written_as_it_is(setup: Setup) -> None:
    frame = b"shared"
    pairs = [setup.outbox() for _ in range(3)]
    for outbox, _ in pairs:
        outbox.put(frame)
    setup.loop.run()
    assert all(pipe.writes[0] is frame for _, pipe in pairs)


def test_different_contents_are_not_mixed_up(setup: Setup) -> None:
    first, second, third = (setup.outbox() for _ in range(3))
    for (outbox, _), parts in ((first, "ab"), (second, "ac"), (third, "ab")):
        for part in parts:
            outbox.put(part.encode())
    setup.loop.run()
    assert [pipe.writes for _, pipe in (first, second, third)] == [[b"ab"], [b"ac"], [b"ab"]]


def test_a_long_round_lets_others_run(setup: Setup) -> None:
    class SlowPipe(Pipe):
        def write(self, data: bytes) -> None:
            setup.loop.now += 0.000_1
            super().write(data)

    pipes = []
    for _ in range(200):
        pipe = SlowPipe()
        pipe.outbox = Outbox(pipe, setup.flusher, now=0.0, soft=1_000, hard=4_000)
        pipe.outbox.put(b"x")
        pipes.append(pipe)
    setup.loop.turn()
    after_one_turn = sum(len(pipe.writes) for pipe in pipes)
    assert 20 <= after_one_turn < 60  # 2 ms of 0.1 ms each, looked at every 32 sockets
    setup.loop.run()
    assert all(pipe.writes == [b"x"] for pipe in pipes)


def test_after_a_long_round_the_next_waits_a_little_and_collects(setup: Setup) -> None:
    outbox, pipe = setup.outbox()

    class SlowPipe(Pipe):
        def write(self, data: bytes) -> None:
            setup.loop.now += 0.003
            super().write(data)

    slow = SlowPipe()
    slow.outbox = Outbox(slow, setup.flusher, now=0.0, soft=1_000, hard=4_000)
    slow.outbox.put(b"x")
    setup.loop.run()
    assert setup.loop.lateness == []
    outbox.put(b"a")
    setup.loop.run()
    assert pipe.writes == []
    outbox.put(b"b")
    setup.loop.now += 0.004
    setup.loop.run()
    assert pipe.writes == [b"ab"]
    assert setup.loop.lateness == [pytest.approx(0.003)]
    outbox.put(b"c")  # the last round was short: no waiting any more
    setup.loop.run()
    assert pipe.writes == [b"ab", b"c"]


def test_a_failing_write_does_not_stop_the_others(setup: Setup) -> None:
    class BrokenPipe(Pipe):
        def write(self, data: bytes) -> None:
            raise RuntimeError("closed")

    broken = BrokenPipe()
    broken.outbox = Outbox(broken, setup.flusher, now=0.0, soft=1_000, hard=4_000)
    outbox, pipe = setup.outbox()
    broken.outbox.put(b"x")
    outbox.put(b"y")
    with pytest.raises(RuntimeError):
        setup.loop.run()
    setup.loop.run()
    assert pipe.writes == [b"y"]
    outbox.put(b"z")
    setup.loop.run()
    assert pipe.writes == [b"y", b"z"]


def test_a_slow_client_keeps_frames_here_and_gets_them_in_order(setup: Setup) -> None:
    outbox, pipe = setup.outbox()
    pipe.blocked = True
    outbox.put(b"a")
    setup.loop.run()
    for frame in (b"b", b"c"):
        assert outbox.put(frame)
    setup.loop.run()
    assert pipe.writes == [b"a"]
    assert outbox.backlog == 3
    assert setup.flusher.congested == {outbox}
    pipe.unblock()
    setup.loop.run()
    assert pipe.writes == [b"a", b"bc"]
    assert outbox.backlog == 0
    assert not setup.flusher.congested


def test_the_hard_limit_counts_both_buffers(setup: Setup) -> None:
    outbox, pipe = setup.outbox()
    pipe.blocked = True
    outbox.put(b"x" * 1_500)
    setup.loop.run()
    assert outbox.put(b"y" * 2_500)
    assert not outbox.put(b"z")
    assert outbox.backlog == 4_000


def test_the_hard_limit_holds_within_one_turn(setup: Setup) -> None:
    outbox, _ = setup.outbox()
    assert outbox.put(b"x" * 4_000)
    assert not outbox.put(b"y")


def test_droppable_frames_over_the_soft_limit(setup: Setup) -> None:
    outbox, pipe = setup.outbox()
    assert outbox.put_droppable(b"typing 0", None)
    pipe.blocked = True
    setup.loop.run()
    outbox.put(b"x" * 1_000)
    assert not outbox.put_droppable(b"typing 1", None)
    assert not outbox.put_droppable(b"ann away ", "ann")
    assert not outbox.put_droppable(b"bob away ", "bob")
    assert not outbox.put_droppable(b"ann online ", "ann")
    assert outbox.put(b"message ")
    pipe.unblock()
    setup.loop.run()
    assert pipe.writes[1] == b"x" * 1_000 + b"message ann online bob away "


def test_a_held_state_never_follows_a_newer_one() -> None:
    setup = Setup(soft=1_000, hard=10_000)
    outbox, pipe = setup.outbox()
    pipe.blocked = True
    outbox.put(b"x" * 990)
    setup.loop.run()
    assert not outbox.put_droppable(b"ann away....", "ann")
    pipe.waiting = 100  # the client has read a bit
    assert outbox.put_droppable(b"ann online", "ann")
    pipe.unblock()
    setup.loop.run()
    assert pipe.writes[1:] == [b"ann online"]


def test_a_large_backlog_leaves_in_chunks() -> None:
    setup = Setup(soft=1 << 20, hard=1 << 22)
    outbox, pipe = setup.outbox()
    frame = b"x" * 100_000
    for _ in range(20):
        assert outbox.put(frame)
    setup.loop.run()
    assert b"".join(pipe.writes) == frame * 20
    assert max(map(len, pipe.writes)) <= CHUNK

    outbox, pipe = setup.outbox()
    for _ in range(20):
        assert outbox.put(frame)
    pipe.blocked = True
    setup.loop.run()
    assert len(pipe.writes) == 1  # it stops as soon as the client does not take more
    assert outbox.backlog == 2_000_000
    pipe.unblock()
    setup.loop.run()
    assert b"".join(pipe.writes) == frame * 20


def test_one_frame_larger_than_a_chunk() -> None:
    setup = Setup(soft=1 << 20, hard=1 << 22)
    outbox, pipe = setup.outbox()
    for frame in (b"a", b"b" * (CHUNK + 1), b"c"):
        outbox.put(frame)
    setup.loop.run()
    assert b"".join(pipe.writes) == b"a" + b"b" * (CHUNK + 1) + b"c"


def test_progress_of_a_slow_client(setup: Setup) -> None:
    outbox, pipe = setup.outbox()
    assert outbox.stalled_since(5.0) == 5.0
    pipe.blocked = True
    outbox.put(b"x" * 100)
    setup.loop.run()
    assert outbox.stalled_since(10.0) == 0.0
    pipe.waiting = 99
    assert outbox.stalled_since(15.0) == 15.0
    assert outbox.stalled_since(20.0) == 15.0


@pytest.mark.parametrize("act", [Outbox.drop, Outbox.close])
def test_what_is_dropped_is_not_written(setup: Setup, act: Any) -> None:
    outbox, pipe = setup.outbox()
    outbox.put(b"x")
    act(outbox)
    setup.loop.run()
    assert pipe.writes == []
    assert outbox.backlog == 0


def test_what_is_unwanted_is_forgotten(setup: Setup) -> None:
    outbox, pipe = setup.outbox()
    for frame in (b"a1", b"b1", b"a2"):
        outbox.put(frame)
    assert outbox.discard(lambda frame: frame.startswith(b"a")) == 2
    assert outbox.backlog == 2
    outbox.put(b"c1")
    setup.loop.run()
    assert b"".join(pipe.writes) == b"b1c1"
    assert outbox.discard(lambda _: True) == 0


def test_everything_may_be_unwanted(setup: Setup) -> None:
    outbox, pipe = setup.outbox()
    outbox.put(b"a")
    assert outbox.discard(lambda _: True) == 1
    assert outbox.backlog == 0
    setup.loop.run()
    assert pipe.writes == []
    outbox.put(b"b")
    setup.loop.run()
    assert pipe.writes == [b"b"]


def test_a_congested_backlog_can_be_thinned_out(setup: Setup) -> None:
    outbox, pipe = setup.outbox()
    pipe.blocked = True
    outbox.put(b"first")
    setup.loop.run()
    for frame in (b"a1", b"b1"):
        outbox.put(frame)
    assert outbox.discard(lambda frame: frame == b"a1") == 1
    pipe.unblock()
    setup.loop.run()
    assert pipe.writes == [b"first", b"b1"]
