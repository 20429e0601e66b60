"""Log lines that strangers cause are bounded, and what is left out is counted."""

from __future__ import annotations

from structlog.testing import capture_logs

from hubbub.telemetry.log import get_logger
from hubbub.telemetry.sparing import Sparing


def test_a_burst_then_so_many_a_second_and_none_forgotten() -> None:
    now = [100.0]
    note = Sparing(get_logger("x"), "refused", per_second=2, burst=3, clock=lambda: now[0])
    with capture_logs() as lines:
        for number in range(10):
            note(number=number)
    assert [line["number"] for line in lines] == [0, 1, 2]

    now[0] += 1.0
    with capture_logs() as lines:
        for number in range(10, 13):
            note(number=number)
    assert [(line["number"], line.get("left_out")) for line in lines] == [(10, 7), (11, None)]
    assert {(line["event"], line["log_level"]) for line in lines} == {("refused", "info")}
