"""The file of a drill keeps what was written to it, whoever is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.history import (
    KINDS,
    Ack,
    Add,
    Added,
    CatchUp,
    Close,
    Damaged,
    Delete,
    Deleted,
    Edit,
    Edited,
    Err,
    Fault,
    Frame,
    Healed,
    Memory,
    NoSub,
    Open,
    Ready,
    Record,
    Recorder,
    Remove,
    Removed,
    Resync,
    Send,
    Shown,
    Slowed,
    Sub,
    decode,
    encode,
    read,
)

SHOWN = (Shown("m1", "ana:1", 1000, 1001), Shown("m2", "ana:2é\u2028", 1001, 1005, edited=1005))
EVERY_KIND: list[Record] = [
    Open(t_mono=0.5, proc="r", user="bo", socket="bo/1"),
    Sub(t_mono=1.0, proc="r", user="bo", socket="bo/1", room="A"),
    Ready(t_mono=1.1, proc="r", user="bo", socket="bo/1", room="A"),
    Ready(t_mono=1.2, proc="r", user="bo", socket="bo/1", room="A", recovered=False),
    Send(t_mono=2.0, proc="w", room="A", id="m1", user="ana", body="ana:1"),
    Send(t_mono=2.1, proc="w", room="A", id="m2", user="ana", body="ana:2", socket="ana/1"),
    Ack(t_mono=2.2, proc="w", room="A", id="m1", user="ana", ts=1000),
    Err(t_mono=2.3, proc="w", room="A", id="m2", user="ana", outcome="unknown", reason="503"),
    Frame(
        t_mono=2.4,
        proc="r",
        user="bo",
        socket="bo/1",
        room="A",
        id="m1",
        body="ana:1",
        ts=1000,
        version=1000,
        edited=1007,
    ),
    CatchUp(
        t_mono=2.5,
        proc="r",
        user="bo",
        socket="bo/1",
        room="A",
        since=0,
        asked=2.45,
        messages=SHOWN,
    ),
    Edit(t_mono=3.0, proc="w", room="A", id="m1", user="ana", body="ana:1'"),
    Edited(t_mono=3.1, proc="w", room="A", id="m1", user="ana", body="ana:1'"),
    Delete(t_mono=3.2, proc="w", room="A", id="m1", user="ana"),
    Deleted(t_mono=3.3, proc="w", room="A", id="m1", user="ana"),
    Remove(t_mono=3.4, proc="m", room="A", user="bo"),
    Removed(t_mono=3.5, proc="m", room="A", user="bo", seq=3),
    NoSub(t_mono=3.6, proc="r", user="bo", socket="bo/1", room="A", reason="not-allowed"),
    Add(t_mono=3.7, proc="m", room="A", user="bo"),
    Added(t_mono=3.8, proc="m", room="A", user="bo"),
    Resync(t_mono=4.0, proc="r", user="bo", socket="bo/1"),
    Resync(t_mono=4.1, proc="r", user="bo", socket="bo/1", rooms=("A",)),
    Close(t_mono=4.2, proc="r", user="bo", socket="bo/1", code=1012),
    Memory(t_mono=5.0, proc="s", process="ddp-streamer-0", rss=1 << 27),
    Fault(t_mono=6.0, proc="f", fault="F4", what="SIGKILL stream-hub"),
    Slowed(t_mono=6.5, proc="f", user="bo"),
    Healed(t_mono=7.0, proc="f", fault="F4"),
]


def test_every_kind_is_among_the_examples() -> None:
    """The tests below say something about all of them."""
    assert {type(record) for record in EVERY_KIND} == set(KINDS.values())


@pytest.mark.parametrize("record", EVERY_KIND, ids=lambda record: record.op)
def test_a_record_is_one_line_and_comes_back(record: Record) -> None:
    """Nothing is lost on the way, and no text breaks the line."""
    line = encode(record)

    assert len(line.splitlines()) == 1
    assert decode(line) == record


def test_records_of_several_writers_come_in_the_order_of_time(tmp_path: Path) -> None:
    """Each process appends when it gets to it."""
    path = tmp_path / "run.jsonl"
    with Recorder(path) as one, Recorder(path) as other:
        for index, record in enumerate(reversed(EVERY_KIND)):
            (one if index % 2 else other).write(record)

    assert read(path) == EVERY_KIND


def test_nothing_is_kept_back(tmp_path: Path) -> None:
    """Who is killed has no time to flush: what was written is in the file at once."""
    path = tmp_path / "run.jsonl"
    with Recorder(path) as recorder:
        for number, record in enumerate(EVERY_KIND, start=1):
            recorder.write(record)
            assert len(read(path)) == number


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    """Wherever it is torn, everything before it is kept."""
    whole = "".join(encode(record) + "\n" for record in EVERY_KIND).encode()
    path = tmp_path / "run.jsonl"
    start = whole.rindex(b"\n", 0, len(whole) - 1) + 1
    for end in range(start, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert read(path) == EVERY_KIND[:-1]

    path.write_bytes(whole[:-1])  # only the end of the line is missing
    assert read(path) == EVERY_KIND


@pytest.mark.parametrize(
    "line",
    [
        b'{"op":"send","t_mo{"op":"healed","t_mono":1,"proc":"f","fault":"F1"}',
        b"",
        b"[]",
        b"\xff",
        b'{"t_mono":1,"proc":"f"}',
        b'{"op":"nothing","t_mono":1,"proc":"f"}',
        b'{"op":"healed","proc":"f","fault":"F1"}',
        b'{"op":"healed","t_mono":"1","proc":"f","fault":"F1"}',
        b'{"op":"healed","t_mono":1,"proc":"f"}',
        b'{"op":"healed","t_mono":1,"proc":"f","fault":"F1","more":1}',
    ],
)
def test_damage_elsewhere_is_told(tmp_path: Path, line: bytes) -> None:
    """A history with a hole in it must not be judged."""
    path = tmp_path / "run.jsonl"
    path.write_bytes(line + b"\n" + encode(EVERY_KIND[0]).encode() + b"\n")

    with pytest.raises(Damaged, match=r"run\.jsonl, line 1"):
        read(path)


def test_the_clock_is_the_machine_s() -> None:
    """Records of several processes can be compared."""
    first = Healed(proc="one", fault="F1")
    second = Healed(proc="other", fault="F1")

    assert 0 < first.t_mono <= second.t_mono
