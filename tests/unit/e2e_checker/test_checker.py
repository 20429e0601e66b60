"""The checker of conversations finds what is planted, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.e2e.resilience.checker import violations
from tests.e2e.resilience.history import (
    Acked,
    CaughtUp,
    Closed,
    Event,
    Frame,
    History,
    Joined,
    Message,
    Opened,
    Refused,
    Repeated,
    Sent,
    message_of,
)

FIRST, SECOND, THIRD, FOURTH = (
    Message(id=f"m{number}", text=f"ana:{number}", ts=1000 + number, updated_at=1000 + number)
    for number in range(1, 5)
)
Spoil = Callable[[History], None]


def clean() -> History:
    """Ana writes four messages; Bo loses his socket after the first and catches up.

    The second one was stored although its first attempt got no answer. The third one reaches
    Bo while he catches up, and so comes twice: by itself and in the answer.
    """
    history = History(stored=[FIRST, SECOND, THIRD, FOURTH], counted=4)
    say = history.events.append
    for name in ("ana", "bo"):
        say(Joined(0.0, name))
        say(Opened(0.1, name, 1))
        say(CaughtUp(0.2, name, 1, ()))
    for number, message in enumerate(history.stored, start=1):
        say(Sent(number, "ana", message.id, message.text))
        if message is SECOND:
            say(Repeated(number + 0.1, "ana", message.id, "the socket ended"))
        say(Acked(number + 0.2, "ana", message.id, message.ts))
        say(Frame(number + 0.3, "ana", 1, message))
        if message is FIRST:
            say(Frame(1.3, "bo", 1, message))
            say(Closed(1.4, "bo", 1, None))
        if message is THIRD:
            say(Opened(3.3, "bo", 2))
            say(Frame(3.4, "bo", 2, THIRD))
            say(CaughtUp(3.5, "bo", 2, (FIRST, SECOND, THIRD)))
        if message is FOURTH:
            say(Frame(4.3, "bo", 2, FOURTH))
    return history


def where(history: History, kind: type[Event], client: str, number: int = 0) -> int:
    """The position of the `number`-th event of this kind and client."""
    return [
        index
        for index, event in enumerate(history.events)
        if type(event) is kind and event.client == client
    ][number]


def test_a_clean_history_has_no_violations() -> None:
    """Reconnects, repetitions and overlaps are what clients live with."""
    assert violations(clean()) == []


def lost(history: History) -> None:
    history.stored.remove(SECOND)
    history.counted = 3


def stored_twice(history: History) -> None:
    history.stored.insert(2, replace(SECOND, ts=1002, updated_at=1002))
    history.counted = 5


def altered(history: History) -> None:
    history.stored[0] = replace(FIRST, text="something else")


def redated(history: History) -> None:
    history.stored[3] = replace(FOURTH, ts=2000)


def invented(history: History) -> None:
    history.stored.append(Message("m9", "ana:4", 1009, 1009))
    history.counted = 5
    for name in ("ana", "bo"):
        history.events.append(Frame(9.0, name, {"ana": 1, "bo": 2}[name], history.stored[-1]))


def never_shown(history: History) -> None:
    del history.events[where(history, Frame, "bo", -1)]


def hole(history: History) -> None:
    """Bo's answer lacks the second message, and the fourth one comes all the same."""
    index = where(history, CaughtUp, "bo", -1)
    history.events[index] = CaughtUp(3.5, "bo", 2, (FIRST, THIRD))


def late_repair(history: History) -> None:
    """The hole is filled, but only after a younger message was shown."""
    hole(history)
    history.events.append(CaughtUp(5.0, "bo", 2, (SECOND,)))


def hole_before_the_end(history: History) -> None:
    """Ana's socket skips the third message and says nothing."""
    del history.events[where(history, Frame, "ana", 2)]


def twice(history: History) -> None:
    index = where(history, Frame, "ana", 1)
    history.events.insert(index + 1, history.events[index])


def swapped(history: History) -> None:
    one, other = where(history, Frame, "ana", 1), where(history, Frame, "ana", 2)
    history.events[one], history.events[other] = history.events[other], history.events[one]


def same_date(history: History) -> None:
    """Two messages of one room carry the same date."""
    same = replace(FOURTH, ts=THIRD.ts)
    history.stored[3] = same
    index = where(history, Acked, "ana", 3)
    history.events[index] = Acked(4.2, "ana", FOURTH.id, THIRD.ts)


def against_time(history: History) -> None:
    """The room's order contradicts what the clients know: the third was there first."""
    history.stored[1], history.stored[2] = replace(THIRD, ts=1002), replace(SECOND, ts=1003)


def uncounted(history: History) -> None:
    history.counted = 5


def refused(history: History) -> None:
    history.events.append(Refused(5.0, "bo", "Failed: 403"))


def never_answered(history: History) -> None:
    del history.events[where(history, Acked, "ana", 2)]


@pytest.mark.parametrize(
    ("spoil", "name", "words"),
    [
        (lost, "acked-durable", "acknowledged, but not stored: m2"),
        (stored_twice, "acked-durable", "stored more than once: m2"),
        (altered, "acked-durable", "another text: m1"),
        (redated, "acked-durable", "another date than answered: m4"),
        (invented, "nothing-foreign", "never sent: m9"),
        (never_shown, "delivered", "bo was never shown m4"),
        (hole, "no-silent-hole", "bo got m4 on socket 2 without m2"),
        (late_repair, "no-silent-hole", "bo got m4 on socket 2 without m2"),
        (hole_before_the_end, "no-silent-hole", "ana got m4 on socket 1 without m3"),
        (twice, "once", "ana got m2 twice on socket 1"),
        (swapped, "frame-order", "ana got m2 after m3 on socket 1"),
        (same_date, "stored-order", "m4 (1003) does not follow m3 (1003)"),
        (against_time, "stored-order", "before its send: m3"),
        (uncounted, "no-hole", "counted 5, its history has 4"),
        (refused, "answered", "bo: Failed: 403"),
        (never_answered, "answered", "never with success: m3"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_is_planted_is_found(spoil: Spoil, name: str, words: str) -> None:
    """One broken promise each; the text says which one, by whom, and where."""
    history = clean()
    spoil(history)

    found = violations(history)
    assert any(text.startswith(f"{name}:") and words in text for text in found), found


def test_a_repaired_hole_is_only_a_hole() -> None:
    """What came too late was still delivered."""
    history = clean()
    late_repair(history)

    assert [text.partition(":")[0] for text in violations(history)] == ["no-silent-hole"]


def test_a_later_version_is_no_repetition() -> None:
    """An edited message comes again with its old date and a new version."""
    history = clean()
    edited = replace(FIRST, text="ana:1", updated_at=1010)
    history.events.append(Frame(6.0, "ana", 1, edited))

    assert violations(history) == []


@pytest.mark.parametrize("date", [{"$date": 1_700_000_000_123}, "2023-11-14T22:13:20.123Z"])
def test_dates_of_both_protocols(date: object) -> None:
    """DDP and REST write the same moment differently."""
    message = message_of({"_id": "x", "msg": "text", "ts": date, "_updatedAt": date})

    assert message == Message("x", "text", 1_700_000_000_123, 1_700_000_000_123)
