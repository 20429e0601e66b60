"""What a fault cost, counted by hand."""

from __future__ import annotations

import pytest

from tests.e2e.resilience.history import (
    Acked,
    CaughtUp,
    Closed,
    Frame,
    History,
    Joined,
    Message,
    Opened,
    Sent,
)
from tests.e2e.resilience.measures import Costs, costs, longest_pause, table


def message(number: int) -> Message:
    return Message(f"m{number}", f"ana:{number}", 1000 + number, 1000 + number)


def test_the_costs_of_a_reconnect() -> None:
    """Ana keeps her socket; Bo is away from 2 to 6 s; Cy comes in at 7 s."""
    history = History(
        [
            Joined(0.0, "ana"),
            Joined(0.0, "bo"),
            Opened(0.5, "ana", 1),
            Opened(0.5, "bo", 1),
            Sent(1.0, "ana", "m1", "ana:1"),
            Acked(1.5, "ana", "m1", 1001),
            Frame(1.5, "ana", 1, message(1)),
            Frame(1.5, "bo", 1, message(1)),
            Closed(2.0, "bo", 1, None),
            Sent(4.0, "ana", "m2", "ana:2"),
            Acked(4.5, "ana", "m2", 1002),
            Frame(4.5, "ana", 1, message(2)),
            Opened(6.0, "bo", 2),
            CaughtUp(6.0, "bo", 2, (message(1), message(2))),
            Joined(7.0, "cy"),
            CaughtUp(7.5, "cy", 1, (message(1), message(2))),
            Sent(8.0, "ana", "m3", "ana:3"),
            Acked(8.0, "ana", "m3", 1003),
            Frame(8.0, "ana", 1, message(3)),
            Frame(8.0, "bo", 2, message(3)),
            Frame(8.0, "cy", 1, message(3)),
            Closed(9.0, "ana", 1, 1000),
        ]
    )

    assert costs(history, "bo's cable", 1.0, 8.5) == Costs(
        fault="bo's cable",
        undisturbed=3.5,
        longest=4.5,
        unanswered=3.5,
        sent=3,
        acked=3,
        delivered=6,
        caught_up=1,
        reconnects=1,
    )


def test_nobody_kept_a_socket() -> None:
    """Then nobody was undisturbed, and the table says so."""
    history = History(
        [
            Joined(0.0, "ana"),
            Sent(1.0, "ana", "m1", "ana:1"),
            Closed(2.0, "ana", 1, None),
            Acked(3.0, "ana", "m1", 1001),
        ]
    )
    cost = costs(history, "door", 0.0, 4.0)

    assert cost.undisturbed is None
    assert table([cost])[-1].split()[:2] == ["door", "-"]


@pytest.mark.parametrize(
    ("moments", "pause"),
    [([], 10.0), ([1.0], 9.0), ([9.0], 9.0), ([3.0, 5.0, 8.0], 3.0), ([-5.0, 5.0, 50.0], 5.0)],
)
def test_the_edges_count(moments: list[float], pause: float) -> None:
    """Silence before the first and after the last moment is silence too."""
    assert longest_pause(moments, 0.0, 10.0) == pause
