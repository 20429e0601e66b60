"""Every way to break a promise is found, and named as that promise and no other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from tests.chaos.checker import Bounds, Invariant, Stored
from tests.chaos.history import (
    Ack,
    Add,
    Added,
    CatchUp,
    Close,
    Delete,
    Deleted,
    Edit,
    Edited,
    Err,
    Frame,
    Memory,
    NoSub,
    Open,
    Ready,
    Remove,
    Removed,
    Resync,
    Send,
    Shown,
    Sub,
)
from tests.unit.chaos.drill import MIB, START
from tests.unit.chaos.planted import Spoiled

Plant = Callable[[Spoiled], None]


def judged(plants: Sequence[tuple[Plant, str]]) -> pytest.MarkDecorator:
    """One test for each plant and a part of what must be said about it."""
    return pytest.mark.parametrize(
        ("plant", "words"), plants, ids=[plant.__name__ for plant, _ in plants]
    )


def found(plant: Plant, invariant: Invariant, words: str) -> None:
    drill = Spoiled()
    plant(drill)
    violations = drill.violations()
    assert {one.invariant for one in violations} == {invariant}, [str(one) for one in violations]
    assert any(words in str(one) for one in violations), [str(one) for one in violations]
    for one in violations:
        assert list(one.records) == sorted(one.records, key=lambda record: record.t_mono)


def kept(plant: Plant) -> None:
    drill = Spoiled()
    plant(drill)
    assert [str(one) for one in drill.violations()] == []


def shown(frame: Frame) -> Shown:
    return Shown(frame.id, frame.body, frame.ts, frame.version, frame.edited)


def answer(drill: Spoiled, user: str, *messages: Shown) -> CatchUp:
    """At the very end, the user asks what was missed."""
    last = drill.records[-1]
    socket = drill.all(Open, user=user)[-1].socket
    return drill.add(
        CatchUp(
            proc="r",
            user=user,
            socket=socket,
            room="A",
            since=START,
            asked=last.t_mono,
            messages=messages,
        ),
        last,
    )


def miss(drill: Spoiled, user: str, message_id: str) -> Frame:
    """The user does not get the frame, and is answered with it at the end."""
    (frame,) = drill.all(Frame, user=user, id=message_id, edited=None)
    drill.drop(frame)
    answer(drill, user, shown(frame))
    return frame


# --- acked-durable ----------------------------------------------------------------------------


def lost(drill: Spoiled) -> None:
    del drill.stored[drill.place("m11")]


def redated(drill: Spoiled) -> None:
    ts = drill.restore("m11", ts=START + 200_000).ts
    drill.everywhere("m11", lambda one: replace(one, ts=ts))


def altered(drill: Spoiled) -> None:
    drill.restore("m10", body="something else")


def foreign(drill: Spoiled) -> None:
    drill.stored.append(Stored("x1", "nobody:1", START + 200_000, 10))


def stored_again(drill: Spoiled) -> None:
    """One attempt, two messages."""
    drill.stored.append(Stored("x1", "ana:11", START + 200_000, 10))


def undeleted(drill: Spoiled) -> None:
    last = drill.records[-1]
    drill.add(Delete(proc="w", room="A", id="m11", user="ana"), last)
    drill.add(Deleted(proc="w", room="A", id="m11", user="ana"), last, 0.002)


def edit_undone(drill: Spoiled) -> None:
    drill.restore("m9", body="ana:9")


def older_edit_wins(drill: Spoiled) -> None:
    """The second edit began when the first one was answered."""
    edited = drill.one(Edited)
    drill.add(Edit(proc="w", room="A", id="m9", user="ana", body="later"), edited)
    drill.add(Edited(proc="w", room="A", id="m9", user="ana", body="later"), edited, 0.002)


@judged(
    [
        (lost, "m11 was answered, but is not stored"),
        (redated, "m11 was answered with"),
        (altered, "m10 has a text that it cannot have"),
        (foreign, "x1 is stored, but was never sent"),
        (stored_again, "m11 is stored a second time, as x1"),
        (undeleted, "the deletion of m11 was answered"),
        (edit_undone, "m9 has a text that it cannot have"),
        (older_edit_wins, "m9 has a text that it cannot have"),
    ]
)
def test_acked_durable(plant: Plant, words: str) -> None:
    """What was answered is stored, once, and as it was answered."""
    found(plant, Invariant.ACKED_DURABLE, words)


# --- unknown-safe -----------------------------------------------------------------------------


def two_for_one(drill: Spoiled) -> None:
    drill.stored.append(Stored("x1", "ana:3", START + 200_000, 10))


def refused_and_stored(drill: Spoiled) -> None:
    drill.stored.append(Stored("m6", "ana:6", START + 200_000, 10))


def two_answers(drill: Spoiled) -> None:
    ack = drill.one(Ack, id="m2")
    drill.add(replace(ack, ts=ack.ts + 1), ack)


@judged(
    [
        (two_for_one, "m3 is stored a second time, as x1"),
        (refused_and_stored, "m6 was refused, but is stored"),
        (two_answers, "m2 was answered with different dates"),
    ]
)
def test_unknown_safe(plant: Plant, words: str) -> None:
    """A repetition is the same message; a refusal is one."""
    found(plant, Invariant.UNKNOWN_SAFE, words)


# --- acked-delivered --------------------------------------------------------------------------


def missing_in_the_answer(drill: Spoiled) -> None:
    """Bo was told that he might miss something; the answer does not help him."""
    drill.unanswer("m2")


def newcomer(drill: Spoiled) -> None:
    """Fay comes last, asks for everything, and is not given the first message."""
    last = drill.records[-1]
    drill.members.add("fay")
    drill.add(Open(proc="r", user="fay", socket="fay/1"), last)
    drill.add(Sub(proc="r", user="fay", socket="fay/1", room="A"), last, 0.002)
    drill.add(Ready(proc="r", user="fay", socket="fay/1", room="A"), last, 0.003)
    frames = drill.all(Frame, user="ana")
    messages = tuple(shown(one) for one in frames if one.id != "m1")
    drill.add(
        CatchUp(
            proc="r",
            user="fay",
            socket="fay/1",
            room="A",
            since=START,
            asked=last.t_mono + 0.004,
            messages=messages,
        ),
        last,
        0.005,
    )


def edit_not_shown(drill: Spoiled) -> None:
    (frame,) = (one for one in drill.all(Frame, user="bo", id="m9") if one.edited is not None)
    drill.drop(frame)


def older_text_last(drill: Spoiled) -> None:
    """Bo gets both texts; the one with the higher version is the old one."""
    for frame in drill.all(Frame, user="bo", id="m9"):
        if frame.edited is None:
            drill.change(frame, version=frame.version + 1000)


def member_refused(drill: Spoiled) -> None:
    drill.add(
        NoSub(proc="r", user="dan", socket="dan/1", room="A", reason="not-allowed"),
        drill.records[-1],
    )


def newcomer_refused(drill: Spoiled) -> None:
    """Ivan was made a member, and is refused all the same."""
    last = drill.records[-1]
    drill.members.add("ivan")
    drill.stored.append(Stored("x1", "ivan", START + 200_000, 10, "au"))
    drill.add(Sub(proc="r", user="ivan", socket="ivan/1", room="A"), last)
    drill.add(NoSub(proc="r", user="ivan", socket="ivan/1", room="A"), last, 0.002)


def never_ready(drill: Spoiled) -> None:
    """Bo asks again in the end, and hears nothing."""
    drill.add(Sub(proc="r", user="bo", socket="bo/2", room="A"), drill.records[-1])


@judged(
    [
        (newcomer_refused, "ivan is a member of A, but the subscription was refused"),
        (never_ready, "bo is a member of A, but the subscription was not answered"),
        (missing_in_the_answer, "bo was never shown m2"),
        (newcomer, "fay was never shown m1"),
        (edit_not_shown, "bo was never shown the last text of m9"),
        (older_text_last, "bo was never shown the last text of m9"),
        (member_refused, "dan is a member of A, but the subscription was refused"),
    ]
)
def test_acked_delivered(plant: Plant, words: str) -> None:
    """Who stays gets everything, sooner or later."""
    found(plant, Invariant.ACKED_DELIVERED, words)


# --- once -------------------------------------------------------------------------------------


def again(drill: Spoiled) -> None:
    frame = drill.one(Frame, user="bo", id="m10")
    drill.add(frame, frame)


def again_later(drill: Spoiled) -> None:
    drill.add(drill.one(Frame, user="bo", id="m3"), drill.records[-1])


def edit_again(drill: Spoiled) -> None:
    frame = drill.all(Frame, user="dan", id="m9")[-1]
    drill.add(frame, frame)


def replayed_and_live(drill: Spoiled) -> None:
    """What was replayed before `ready` comes once more after it."""
    drill.add(drill.one(Frame, user="eve", id="m5"), drill.one(Ready, user="eve", recovered=True))


@judged(
    [
        (again, "bo got m10 twice on socket bo/2"),
        (again_later, "bo got m3 twice on socket bo/2"),
        (edit_again, "dan got m9 twice on socket dan/1"),
        (replayed_and_live, "eve got m5 twice on socket eve/2"),
    ]
)
def test_once(plant: Plant, words: str) -> None:
    """Nothing comes twice by itself on one socket."""
    found(plant, Invariant.ONCE, words)


# --- same-order -------------------------------------------------------------------------------


def swapped(drill: Spoiled) -> None:
    drill.swap(drill.one(Frame, user="dan", id="m10"), drill.one(Frame, user="dan", id="m11"))


def other_date(drill: Spoiled) -> None:
    frame = drill.one(Frame, user="eve", id="m10")
    drill.change(frame, ts=frame.ts + 1)


def other_date_in_an_answer(drill: Spoiled) -> None:
    drill.everywhere("m2", lambda one: replace(one, ts=one.ts + 1))
    for frame in drill.all(Frame, id="m2"):
        drill.change(frame, ts=frame.ts - 1)


def unnumbered(drill: Spoiled) -> None:
    drill.restore("m11", seq=None)


def same_number(drill: Spoiled) -> None:
    drill.restore("m11", seq=8)


def number_missing(drill: Spoiled) -> None:
    drill.restore("m11", seq=10)


def numbers_against_dates(drill: Spoiled) -> None:
    drill.restore("m10", seq=9)
    drill.restore("m11", seq=8)


def same_date(drill: Spoiled) -> None:
    """Two messages that were sent at the same time have one date."""
    ts = drill.stored[drill.place("m10")].ts
    drill.restore("m11", ts=ts)
    drill.everywhere("m11", lambda one: replace(one, ts=ts))
    drill.change(drill.one(Ack, id="m11"), ts=ts)


def against_real_time(drill: Spoiled) -> None:
    """Everybody agrees on an order, and it is not the one in which things happened."""
    one, other = (drill.stored[drill.place(message_id)] for message_id in ("m10", "m11"))
    dates = {"m10": other.ts, "m11": one.ts}
    drill.restore("m10", ts=other.ts, seq=other.seq)
    drill.restore("m11", ts=one.ts, seq=one.seq)
    for message_id, ts in dates.items():
        drill.change(drill.one(Ack, id=message_id), ts=ts)
        for frame in drill.all(Frame, id=message_id):
            drill.change(frame, ts=ts)
    for user in ("ana", "bo", "cy", "dan", "eve"):
        drill.swap(drill.one(Frame, user=user, id="m10"), drill.one(Frame, user=user, id="m11"))


@judged(
    [
        (swapped, "dan got m10 after m11 on socket dan/1"),
        (other_date, "eve was shown m10 with the date"),
        (other_date_in_an_answer, "bo was shown m2 with the date"),
        (unnumbered, "some messages have a number in the room, others have none"),
        (same_number, "m10 and m11 both have the number 8"),
        (number_missing, "numbers are missing between 8 and 10"),
        (numbers_against_dates, "does not follow m11"),
        (same_date, "does not follow m10"),
        (against_real_time, "m11 is older than m10, answered before it was sent"),
    ]
)
def test_same_order(plant: Plant, words: str) -> None:
    """There is one order, and it is that of what happened."""
    found(plant, Invariant.SAME_ORDER, words)


# --- no-leak ----------------------------------------------------------------------------------


def frame_for(drill: Spoiled, user: str, message_id: str) -> Frame:
    """The frame that bo got, for somebody else."""
    frame = drill.all(Frame, user="bo", id=message_id)[0]
    return replace(frame, user=user, socket=f"{user}/1")


def after_the_end(drill: Spoiled) -> None:
    drill.add(frame_for(drill, "cy", "m5"), drill.one(Ack, id="m5"))


def its_own_removal(drill: Spoiled) -> None:
    """Cy may know of it, but not by a frame of the room."""
    drill.add(frame_for(drill, "cy", "s4"), drill.one(Frame, user="cy", id="m3"))


def before_it_was_told(drill: Spoiled) -> None:
    """The end of the subscription came late, and something slipped through."""
    nosub = drill.one(NoSub, user="cy")
    ack = drill.one(Ack, id="m5")
    drill.change(nosub, t_mono=ack.t_mono + 0.008)
    drill.add(frame_for(drill, "cy", "m5"), ack)


def much_later(drill: Spoiled) -> None:
    """On the subscription from before the removal, when cy is a member again."""
    drill.drop(drill.one(NoSub, user="cy"))
    added = drill.one(Added)
    for number, message_id in enumerate(("s4", "m5"), start=1):
        drill.add(frame_for(drill, "cy", message_id), added, number / 1000)


def race(drill: Spoiled) -> None:
    """The message was sent before cy subscribed once more, and stored after the removal."""
    remove, ack = drill.one(Remove), drill.one(Ack, id="m5")
    drill.change(drill.one(Send, id="m5"), t_mono=remove.t_mono - 0.005)
    drill.add(Sub(proc="r", user="cy", socket="cy/1", room="A"), remove, -0.004)
    drill.add(Ready(proc="r", user="cy", socket="cy/1", room="A"), remove, -0.003)
    drill.change(drill.one(NoSub, user="cy"), t_mono=ack.t_mono + 0.008)
    drill.add(frame_for(drill, "cy", "m5"), ack)


def unknown_removals(drill: Spoiled) -> None:
    """Somebody else removed cy, too."""
    drill.stored.append(Stored("x1", "cy", START + 200_000, 10, "ru"))
    drill.stored.append(Stored("x2", "cy", START + 200_001, 11, "au"))
    before_it_was_told(drill)


def told_by_the_answer(drill: Spoiled) -> None:
    """The log has no announcement of bo's removal, but its number was in the answer."""
    drill.members.discard("bo")
    before = drill.all(Frame, user="eve", id="m9")[-1]
    drill.add(Remove(proc="o", room="A", user="bo"), before)
    drill.add(Removed(proc="o", room="A", user="bo", seq=8), before, 0.002)
    drill.add(NoSub(proc="r", user="bo", socket="bo/2", room="A"), drill.records[-1], 1.0)


def untold(drill: Spoiled) -> None:
    """The log does not tell of cy's removal at all."""
    drill.restore("s4", kind="other")
    drill.restore("s7", kind="other")
    drill.add(frame_for(drill, "cy", "m5"), drill.one(Ack, id="m5"))


def edit_after_the_end(drill: Spoiled) -> None:
    """The message is one that cy may know; its new text is not."""
    removed = drill.one(Removed)
    version = drill.stored[-1].ts + 100
    drill.add(Edit(proc="w", room="A", id="m1", user="ana", body="new"), removed)
    drill.add(Edited(proc="w", room="A", id="m1", user="ana", body="new"), removed, 0.003)
    drill.restore("m1", body="new")
    for user in ("ana", "bo", "cy", "dan", "eve"):
        frame = drill.one(Frame, user=user, id="m1")
        late = replace(frame, body="new", version=version, edited=version)
        if user in {"bo", "eve"}:
            late = replace(late, socket=f"{user}/2")
        drill.add(late, removed if user == "cy" else drill.all(Frame)[-1], 0.002)


def subscribes(drill: Spoiled) -> None:
    removed = drill.one(Removed)
    drill.add(Sub(proc="r", user="cy", socket="cy/1", room="A"), removed, 0.041)
    drill.add(Ready(proc="r", user="cy", socket="cy/1", room="A"), removed, 0.042)


def asks(drill: Spoiled) -> None:
    removed = drill.one(Removed)
    asked = drill.one(CatchUp, user="bo", socket="bo/2")
    drill.add(replace(asked, user="cy", socket="cy/1", asked=removed.t_mono), removed)


def stranger_gets_a_frame(drill: Spoiled) -> None:
    frame = frame_for(drill, "ivan", "m1")
    drill.add(frame, frame)


def stranger_subscribes(drill: Spoiled) -> None:
    nosub = drill.one(NoSub, user="ivan")
    drill.drop(nosub)
    drill.add(Ready(proc="r", user="ivan", socket="ivan/1", room="A"), nosub)


def stranger_asks(drill: Spoiled) -> None:
    asked = drill.one(CatchUp, user="bo", socket="bo/2")
    drill.add(replace(asked, user="ivan", socket="ivan/1"), asked)


def member_still(drill: Spoiled) -> None:
    """Nobody tried to add cy again."""
    drill.drop(drill.one(Add), drill.one(Added))


@judged(
    [
        (after_the_end, "cy got m5 of A, which stands where they are no member"),
        (its_own_removal, "cy got s4 of A, which stands where they are no member"),
        (before_it_was_told, "cy got m5 of A, which stands where they are no member"),
        (much_later, "cy got m5 of A, which stands where they are no member"),
        (race, "cy got m5 of A, which stands where they are no member"),
        (unknown_removals, "cy got m5 of A, which stands where they are no member"),
        (told_by_the_answer, "bo got m11 of A, which stands where they are no member"),
        (untold, "cy got m5 of A while no member"),
        (edit_after_the_end, "cy got m1 of A while no member"),
        (subscribes, "cy could subscribe to A while no member"),
        (asks, "cy was answered with messages of A while no member"),
        (stranger_gets_a_frame, "ivan got m1 of A, which stands where they are no member"),
        (stranger_subscribes, "ivan could subscribe to A while no member"),
        (stranger_asks, "ivan was answered with messages of A while no member"),
        (member_still, "cy was removed from A, but is a member"),
    ]
)
def test_no_leak(plant: Plant, words: str) -> None:
    """Who is no member is shown nothing."""
    found(plant, Invariant.NO_LEAK, words)


# --- bounded ----------------------------------------------------------------------------------


def too_much(drill: Spoiled) -> None:
    drill.change(drill.one(Memory), rss=drill.bounds.rss)


def more_than_its_own_limit(drill: Spoiled) -> None:
    drill.change(drill.one(Memory), limit=100 * MIB)


def grows(drill: Spoiled) -> None:
    """1.2 MiB a minute, for two minutes."""
    sample = drill.one(Memory)
    for second in range(0, 190, 10):
        drill.add(replace(sample, rss=sample.rss + second * MIB // 50), sample, float(second))


@judged(
    [
        (too_much, "hub-1 held 512.0 of 512.0 MiB"),
        (more_than_its_own_limit, "hub-1 held 100.0 of 100.0 MiB"),
        (grows, "hub-1 grew by 1.20 MiB per minute"),
    ]
)
def test_bounded(plant: Plant, words: str) -> None:
    """Memory has a limit, and does not creep towards it."""
    found(plant, Invariant.BOUNDED, words)


# --- says-so ----------------------------------------------------------------------------------


def hole(drill: Spoiled) -> None:
    miss(drill, "bo", "m10")


def hole_at_the_end(drill: Spoiled) -> None:
    miss(drill, "bo", "m11")


def hole_at_the_beginning(drill: Spoiled) -> None:
    """It was sent when the subscription stood, and is the first that should have come."""
    miss(drill, "bo", "m3")


def hole_of_the_system(drill: Spoiled) -> None:
    drill.drop(drill.one(Frame, user="ana", id="s7"))


def hole_in_the_replay(drill: Spoiled) -> None:
    miss(drill, "eve", "m3")


def hole_after_resync(drill: Spoiled) -> None:
    """The first frames after it are missing."""
    drill.drop(drill.one(Frame, user="dan", id="s4"))
    miss(drill, "dan", "m5")


def resync_of_another_room(drill: Spoiled) -> None:
    drill.change(drill.one(Resync), rooms=("B",))


def told_too_late(drill: Spoiled) -> None:
    """The next frame came before the word that something was missing."""
    resync = drill.one(Resync)
    answered = drill.one(CatchUp, user="dan", since=drill.stored[1].ts)
    late = drill.all(Frame, user="dan", id="m9")[-1]
    drill.change(resync, t_mono=late.t_mono + 0.001)
    drill.change(answered, t_mono=late.t_mono + 0.002)


def hole_before_a_deleted_one(drill: Spoiled) -> None:
    """What came next is not stored any more, but it did come."""
    last = drill.records[-1]
    drill.add(Delete(proc="w", room="A", id="m11", user="ana"), last)
    del drill.stored[drill.place("m11")]
    drill.add(Close(proc="r", user="bo", socket="bo/2"), last, 0.002)
    drill.statuses["bo"] = "offline"
    drill.drop(drill.one(Frame, user="bo", id="m10"))


def removed_in_silence(drill: Spoiled) -> None:
    last = drill.records[-1]
    drill.members.discard("bo")
    drill.add(Remove(proc="o", room="A", user="bo"), last)
    drill.add(Removed(proc="o", room="A", user="bo", seq=10), last, 0.002)


@judged(
    [
        (hole, "bo was not told that m10 is missing on socket bo/2"),
        (hole_at_the_end, "bo was not told that m11 is missing on socket bo/2"),
        (hole_at_the_beginning, "bo was not told that m3 is missing on socket bo/2"),
        (hole_of_the_system, "ana was not told that s7 is missing on socket ana/1"),
        (hole_in_the_replay, "eve was not told that m3 is missing on socket eve/2"),
        (hole_after_resync, "dan was not told that m5 is missing on socket dan/1"),
        (resync_of_another_room, "dan was not told that m3 is missing on socket dan/1"),
        (told_too_late, "dan was not told that m3 is missing on socket dan/1"),
        (hole_before_a_deleted_one, "bo was not told that m10 is missing on socket bo/2"),
        (removed_in_silence, "bo was removed from A, and not told on socket bo/2"),
    ]
)
def test_says_so(plant: Plant, words: str) -> None:
    """Whoever may miss something knows."""
    found(plant, Invariant.SAYS_SO, words)


# --- presence ---------------------------------------------------------------------------------


def gone_and_online(drill: Spoiled) -> None:
    last = drill.records[-1]
    drill.add(Close(proc="r", user="ivan", socket="ivan/1", code=1006), last)


def there_and_offline(drill: Spoiled) -> None:
    drill.statuses["bo"] = "offline"


def never_there_and_online(drill: Spoiled) -> None:
    drill.statuses["zoe"] = "away"


@judged(
    [
        (gone_and_online, "ivan is online with 0 open sockets"),
        (there_and_offline, "bo is offline with 1 open sockets"),
        (never_there_and_online, "zoe is away with 0 open sockets"),
    ]
)
def test_presence(plant: Plant, words: str) -> None:
    """In the end the statuses are those of the sockets."""
    found(plant, Invariant.PRESENCE, words)


# --- what breaks nothing ----------------------------------------------------------------------


def unknown_and_stored(drill: Spoiled) -> None:
    drill.stored.append(Stored("m8", "ana:8", START + 200_000, 10))


def refused_after_unknown(drill: Spoiled) -> None:
    """The first attempt may have been the one that was stored."""
    err = drill.one(Err, id="m6")
    send = drill.one(Send, id="m6")
    drill.add(replace(err, outcome="unknown"), send)
    drill.add(send, send, 0.002)
    drill.stored.append(Stored("m6", "ana:6", START + 200_000, 10))


def deletion_unknown(drill: Spoiled) -> None:
    """Asked for, not answered, done; it leaves a gap in the numbers."""
    drill.add(Delete(proc="w", room="A", id="m10", user="ana"), drill.records[-1])
    del drill.stored[drill.place("m10")]


def edit_unknown(drill: Spoiled) -> None:
    drill.drop(drill.one(Edited))
    drill.restore("m9", body="ana:9")


def edits_at_once(drill: Spoiled) -> None:
    """Either may be the last."""
    edited = drill.one(Edited)
    edit = drill.one(Edit)
    drill.add(replace(edit, body="other"), edit)
    drill.add(replace(edited, body="other"), edited)


def again_after_a_question(drill: Spoiled) -> None:
    """Who asks gets twice what comes meanwhile."""
    frame = drill.one(Frame, user="bo", id="m11")
    answer(drill, "bo", shown(frame))
    drill.add(frame, drill.records[-1], 0.1)


def replayed_to_a_member_again(drill: Spoiled) -> None:
    """Cy is shown what was said meanwhile, as everybody who comes into the room."""
    sub = drill.all(Sub, user="cy")[-1]
    for number, message_id in enumerate(("m5", "s7"), start=1):
        drill.add(frame_for(drill, "cy", message_id), sub, number / 1000)


def edit_while_it_was_open(drill: Spoiled) -> None:
    """An addition that was never answered may have come true before."""
    edit_after_the_end(drill)
    drill.add(Add(proc="o", room="A", user="cy"), drill.one(Remove), -0.001)


def removed_and_added_twice(drill: Spoiled) -> None:
    """What is true already is announced again; it changes nothing."""
    drill.stored.append(Stored("x1", "cy", START + 200_000, 10, "au"))
    drill.stored.append(Stored("x2", "zoe", START + 200_001, 11, "ru"))
    drill.stored.append(Stored("x3", "zoe", START + 200_002, 12, "ul"))


def not_added_again(drill: Spoiled) -> None:
    """Cy is a member again, but has not subscribed."""
    added = drill.one(Added)
    late = [one for one in drill.records if getattr(one, "user", "") == "cy"]
    drill.drop(*(one for one in late if one.t_mono > added.t_mono))


def resync_before_ready(drill: Spoiled) -> None:
    """Nothing was promised yet."""
    sub = drill.one(Sub, user="dan")
    drill.add(Resync(proc="r", user="dan", socket="dan/1"), sub)


def edit_of_what_was_there(drill: Spoiled) -> None:
    """Nobody in this drill sent it."""
    drill.add(Edit(proc="w", room="A", id="old", user="ana", body="new"), drill.records[-1])


def nothing_in_the_answer(drill: Spoiled) -> None:
    asked = drill.one(CatchUp, user="bo", socket="bo/2")
    drill.add(replace(asked, user="ivan", socket="ivan/1", messages=()), asked)


def not_there_in_the_end(drill: Spoiled) -> None:
    """Nobody can give anything to who does not come back."""
    drop = [one for one in drill.all(Frame, user="bo") if one.id in {"m10", "m11"}]
    drill.drop(*drop)
    drill.add(Close(proc="r", user="bo", socket="bo/2"), drill.one(Send, id="m10"))
    drill.statuses["bo"] = "offline"


def closed_before_the_next(drill: Spoiled) -> None:
    """A hole at the end of a socket is what its client expects; the next socket fills it."""
    sub = drill.all(Sub, user="eve")[-1]
    frame = drill.one(Frame, user="eve", id="m2")
    drill.change(frame, socket="eve/2", t_mono=sub.t_mono + 0.001)


def steady(drill: Spoiled) -> None:
    """It grows while it warms up, and stays."""
    sample = drill.one(Memory)
    for second in range(0, 240, 10):
        grown = min(second, 50) * MIB
        drill.add(replace(sample, rss=sample.rss + grown), sample, float(second))


def not_judged_yet(drill: Spoiled) -> None:
    """Half a minute of warm samples says nothing."""
    drill.bounds = Bounds(warm_up=10.0)
    sample = drill.one(Memory)
    for second in range(0, 40, 5):
        drill.add(replace(sample, rss=sample.rss + second * MIB), sample, float(second))


@pytest.mark.parametrize(
    "plant",
    [
        unknown_and_stored,
        refused_after_unknown,
        deletion_unknown,
        edit_unknown,
        edits_at_once,
        again_after_a_question,
        replayed_to_a_member_again,
        edit_while_it_was_open,
        resync_before_ready,
        edit_of_what_was_there,
        removed_and_added_twice,
        not_added_again,
        nothing_in_the_answer,
        not_there_in_the_end,
        closed_before_the_next,
        steady,
        not_judged_yet,
    ],
    ids=lambda plant: plant.__name__,
)
def test_what_clients_have_to_live_with(plant: Plant) -> None:
    """Only what was promised is asked for."""
    kept(plant)


def test_a_loss_in_silence_breaks_two_promises() -> None:
    """It never came, and nobody said so; the database is whole."""
    drill = Spoiled()
    drill.drop(drill.one(Frame, user="dan", id="m10"))

    assert [str(one) for one in drill.violations()] == [
        "acked-delivered: dan was never shown m10 of A",
        "says-so: dan was not told that m10 is missing on socket dan/1",
    ]


def test_a_loss_in_the_middle_leaves_a_gap() -> None:
    """A message that is gone takes its number with it."""
    drill = Spoiled()
    del drill.stored[drill.place("m10")]

    assert [str(one) for one in drill.violations()] == [
        "acked-durable: m10 was answered, but is not stored",
        "same-order: numbers are missing between 7 and 9",
    ]
