"""The table of the drill."""

from __future__ import annotations

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.report import BEGIN, END, inserted, table

COUNTS = dict.fromkeys(
    (
        "sent", "acked", "unknown", "delivered", "recovered", "lost", "doubled", "misordered",
        "leaked",
    ),
    1000,
)  # fmt: skip


def run(fault: str, pause: float, bound: float) -> dict[str, object]:
    return {"fault": fault, "title": "t", "pause": pause, "bound": bound, "counts": COUNTS}


def test_a_fault_is_one_line_with_its_worst_pause_and_all_that_was_counted() -> None:
    lines = table([run("F10", 1.0, 15.0), run("F2", 4.0, 5.0), run("F2", 4.5, 9.0)]).splitlines()
    told = [line for line in lines[2:] if "not run" not in line]
    assert [line.split("|")[1].strip() for line in told] == ["F2 t", "F10 t"]
    assert told[0].startswith("| F2 t | 2 | 4.0 | 5.0 | 2,000 |")


def test_what_was_not_run_says_so_and_why() -> None:
    text = table([run("F2", 4.0, 5.0), {"fault": "F1", "title": "t", "not_run": "no disk"}])
    lines = text.splitlines()
    assert lines[2].startswith("| F1 t | not run: no disk |")
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
    assert all(any(line.startswith(f"| {name} ") for line in lines) for name in FAULTS)
    assert [line.split()[1] for line in lines if "F32" in line] == ["F32a", "F32b", "F32c", "F32d"]


def test_usual_times_stand_below_where_they_are_judged() -> None:
    usual = {"p99_before": 0.11, "p99": 0.3, "calm": 0.5}
    worse = {"p99_before": 0.5, "p99": 1.2, "calm": 1.0}
    rows = [run("F23", 1.0, 2.0) | usual, run("F23", 1.0, 2.0) | worse]
    measured = run("F2", 4.0, 5.0) | usual | {"calm": None}
    *lines, empty, below = table([measured, *rows]).splitlines()
    assert {line[0] for line in lines} == {"|"}
    assert empty == ""
    assert below.startswith("F23: 99 of 100 messages")
    assert "within 1.20 s during the fault, before it 0.50 s; it may be 1.00 s" in below


def test_the_table_replaces_what_stands_between_the_marks() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    assert inserted(page, "new") == f"before\n{BEGIN}\nnew\n{END}\nafter\n"


def test_a_page_without_marks_is_an_error() -> None:
    with pytest.raises(ValueError, match="has no"):
        inserted("nothing here", "new")
