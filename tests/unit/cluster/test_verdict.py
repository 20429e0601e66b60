"""The verdict of the cluster tests on histories that are made up: it sees what went wrong."""

from __future__ import annotations

from tests.cluster.verdict import Verdict, judge, table
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
    Sent,
)

M1, M2, M3 = (Message(f"m{n}", f"w:{n}", 1000 * n, 1000 * n) for n in (1, 2, 3))
BEGAN, ENDED = 0.5, 20.0


def said(*messages: Message, at: float = 1.0) -> list[Event]:
    events: list[Event] = []
    for step, message in enumerate(messages):
        events.append(Sent(at + step, "w", message.id, message.text))
        events.append(Acked(at + step + 0.1, "w", message.id, message.ts))
    return events


def history(*events: Event, stored: tuple[Message, ...] = (M1, M2, M3)) -> History:
    ordered = sorted([Joined(0.0, "r"), *events], key=lambda event: event.at)
    return History(ordered, list(stored), len(stored))


def verdict(*events: Event, stored: tuple[Message, ...] = (M1, M2, M3)) -> Verdict:
    return judge("test", [history(*events, stored=stored)], began=BEGAN, ended=ENDED)


def here(socket: int, at: float, *messages: Message) -> list[Event]:
    return [Opened(at, "r", socket), CaughtUp(at, "r", socket, messages)]


def test_all_is_well() -> None:
    found = verdict(
        *here(1, 0.1),
        *said(M1, M2, M3),
        *(Frame(1.2 + n, "r", 1, message) for n, message in enumerate((M1, M2, M3))),
    )
    assert (found.lost, found.not_by_frames, found.doubled, found.misordered) == (0, 0, 0, 0)
    assert (found.acked, found.stored, found.delivered, found.sockets) == (3, 3, 3, 1)
    assert (found.reconnects, found.failed_in_a_row, found.violations) == (0, 0, ())


def test_lost_is_what_neither_a_frame_nor_a_question_brought() -> None:
    found = verdict(*here(1, 0.1), *said(M1, M2, M3), Frame(1.2, "r", 1, M1))
    assert (found.lost, found.not_by_frames) == (2, 2)
    assert any(text.startswith("delivered:") for text in found.violations)


def test_what_a_question_brought_is_not_lost_but_told() -> None:
    found = verdict(
        *here(1, 0.1),
        *said(M1, M2, M3),
        Frame(1.2, "r", 1, M1),
        Closed(1.5, "r", 1, 1012),
        *here(2, 5.0, M2, M3),
    )
    assert (found.lost, found.not_by_frames, found.reconnects) == (0, 2, 1)
    assert found.codes == (1012,)
    assert found.longest_gap == ENDED - 5.0
    assert found.violations == ()


def test_doubles_and_disorder_are_counted() -> None:
    found = verdict(
        *here(1, 0.1),
        *said(M1, M2, M3),
        *(Frame(4.0 + n, "r", 1, message) for n, message in enumerate((M2, M1, M3, M3))),
    )
    assert (found.doubled, found.misordered, found.lost) == (1, 1, 0)
    assert found.holes == 1


def test_attempts_that_failed_are_counted_by_the_numbers_of_the_sockets() -> None:
    found = verdict(
        *here(1, 0.1),
        *said(M1, M2, M3),
        Frame(1.2, "r", 1, M1),
        Closed(1.5, "r", 1, 1012),
        *here(4, 5.0, M2, M3),  # 2 and 3 came to nothing
    )
    assert (found.reconnects, found.failed_in_a_row) == (1, 2)


def test_an_acknowledged_message_that_is_not_stored_is_a_violation() -> None:
    found = verdict(*here(1, 0.1), *said(M1), stored=())
    assert any("acknowledged, but not stored: m1" in text for text in found.violations)


def test_the_table_has_a_line_for_each() -> None:
    lines = table([verdict(*here(1, 0.1), *said(M1), Frame(2.0, "r", 1, M1), stored=(M1,))])
    assert len(lines) == 3
    assert lines[2].startswith("test")
