"""How much happened in a drill, how long it took; and that nothing is no success."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.checker import Bounds, Counts, Pauses, ProvesNothing, check, judge
from tests.chaos.history import Ack, Close, Fault, Frame, Healed, Record, Send, Slowed
from tests.unit.chaos.drill import Drill, small
from tests.unit.chaos.planted import Spoiled


def test_counts() -> None:
    """Nine messages, one refused, one never answered; two were sent twice."""
    drill = small()

    assert judge(drill.records, drill.database()).counts == Counts(
        sent=9,
        acked=7,
        unknown=1,
        refused=1,
        repeated=2,
        delivered=40,
        recovered=8,  # bo: m2; dan: m3; eve: m3, s4, m5; cy: s4, m5, s7
        readers=5,
        lost=0,
        doubled=0,
        misordered=0,
        leaked=0,
    )


def test_what_is_broken_is_counted() -> None:
    """By the kind of harm."""
    drill = Spoiled()
    del drill.stored[drill.place("m11")]
    frame = drill.one(Frame, user="bo", id="m10")
    drill.add(frame, frame)
    leaked = drill.all(Frame, user="ana", id="m5")[0]
    drill.add(replace(leaked, user="ivan", socket="ivan/1"), leaked)
    one, other = drill.one(Frame, user="dan", id="m10"), drill.one(Frame, user="dan", id="m11")
    drill.swap(one, other)

    counts = judge(drill.records, drill.database()).counts
    assert (counts.lost, counts.doubled, counts.misordered, counts.leaked) == (1, 1, 1, 1)


def test_pauses() -> None:
    """The small drill has one fault, from its first close until all are back."""
    drill = small()

    (pause,) = judge(drill.records, drill.database(), Bounds(quiet=1.0)).pauses
    assert pause.fault == "F1"
    assert (pause.began, pause.ended) == pytest.approx((100.322, 101.66))
    # Bo waits for m3, which waits on his wire.
    assert pause.delivery == pytest.approx(100.866 - 100.496)
    # Eve's socket ends before m3 comes; it is replayed on her next one.
    assert pause.recovery == pytest.approx(100.620 - 100.496)
    # m8 is never answered.
    assert pause.write == pytest.approx(101.66 - 100.742)


def test_a_pause_belongs_to_its_fault() -> None:
    """Each fault has its own; one that nobody noticed has none; two at once share theirs."""
    drill = small()
    drill.wait(100.0)
    for name, seconds in (("F2", 3.0), ("F3", 5.0)):
        drill.fault(name)
        drill.say("ana", "A", "unknown-lost")
        drill.wait(seconds)
        drill.say("ana", "A")
        for user in drill.people:
            drill.deliver(user)
        drill.heal(name)
        drill.wait(100.0)
    drill.fault("F4")
    drill.heal("F4")
    drill.wait(100.0)
    drill.fault("F5")
    drill.fault("F6")
    drill.say("ana", "A")
    drill.heal("F5")
    drill.wait(2.0)
    for user in drill.people:
        drill.deliver(user)
    drill.heal("F6")

    pauses = {
        one.fault: one for one in judge(drill.records, drill.database(), Bounds(quiet=1.0)).pauses
    }
    assert list(pauses) == ["F1", "F2", "F3", "F4", "F5", "F6"]
    assert pauses["F4"].delivery is None
    assert pauses["F4"].recovery is None
    assert pauses["F5"].delivery == pauses["F6"].delivery
    assert pauses["F5"].delivery == pytest.approx(2.0, abs=0.2)
    assert pauses["F2"].delivery == pytest.approx(0.0, abs=0.2)


def calm_then_fault(*, slowed: bool) -> Pauses:
    """A hundred messages that bo gets at once. Then a fault of 30 s, in which bo gets his
    message after half a minute, and everybody else at once."""
    drill = Drill({"A": {"ana", "bo", "cy"}})
    for user in drill.places["A"].members:
        drill.enter(user, "A")
    for _ in range(100):
        drill.say("ana", "A")
        for user in drill.people:
            drill.deliver(user)
    drill.fault("F23")
    if slowed:
        drill.note(Slowed(proc="f", user="bo"))
    drill.say("ana", "A")
    drill.deliver("ana")
    drill.deliver("cy")
    drill.wait(30.0)
    drill.heal("F23")
    drill.deliver("bo")
    (pause,) = judge(drill.records, drill.database()).pauses
    return pause


def test_who_reads_slowly_is_told_apart() -> None:
    """Their waits are their own; those of all others are judged without them."""
    pause = calm_then_fault(slowed=True)

    assert pause.slowed == pytest.approx(30.0, abs=0.2)
    assert pause.delivery == pytest.approx(0.0, abs=0.2)
    assert pause.p99_before == pytest.approx(0.03, abs=0.03)
    assert pause.p99 == pytest.approx(0.03, abs=0.03)


def test_who_waits_without_being_slow_is_not_excused() -> None:
    """Nobody said that bo's line was slow: so somebody waited for those whose line was."""
    pause = calm_then_fault(slowed=False)

    assert pause.slowed is None
    assert pause.delivery == pytest.approx(30.0, abs=0.2)
    assert pause.p99_before == pytest.approx(0.03, abs=0.03)
    assert pause.p99 == pytest.approx(30.0, abs=0.2)


def nothing_sent(record: Record) -> bool:
    return not isinstance(record, Send)


def nothing_answered(record: Record) -> bool:
    return not isinstance(record, Ack)


def nothing_read(record: Record) -> bool:
    return not isinstance(record, Frame)


def nothing_at_all(record: Record) -> bool:
    return isinstance(record, Fault | Healed)


@pytest.mark.parametrize(
    ("happens", "words"),
    [
        (nothing_at_all, "nothing was sent"),
        (nothing_sent, "nothing was sent"),
        (nothing_answered, "nothing was answered with success"),
        (nothing_read, "nothing was read"),
    ],
)
def test_what_did_not_happen_did_not_go_well(happens: Callable[[Record], bool], words: str) -> None:
    """A drill that proves nothing is an error."""
    drill = small()
    records = [record for record in drill.records if happens(record)]

    with pytest.raises(ProvesNothing, match=words):
        check(records, drill.database())


def test_an_empty_history_is_no_success() -> None:
    """Nothing was started, perhaps."""
    with pytest.raises(ProvesNothing, match="nothing was sent"):
        check([], small().database())


def test_everybody_gone_is_no_success() -> None:
    """If nobody is there in the end, nobody is owed anything."""
    drill = small()
    for user, person in drill.people.items():
        if person.socket is not None:
            drill.note(Close(proc="r", user=user, socket=person.socket))

    with pytest.raises(ProvesNothing, match="no reader was there until the end"):
        check(drill.records, drill.database())


def test_a_new_kind_of_record_needs_a_judge() -> None:
    """What is noted, but not looked at, would be taken for fine."""
    drill = small()

    with pytest.raises(TypeError, match="Record is not judged"):
        check([*drill.records, Record(t_mono=0.0, proc="x")], drill.database())
