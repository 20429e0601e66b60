"""Writes the table of the last drill into docs/reliability.md.

python -m tests.chaos.report [--results FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.chaos.faults import FAULTS
from tests.chaos.programs import ROOT

RESULTS = ROOT / ".chaos-results.json"
PAGE = ROOT / "docs" / "reliability.md"
NOT_CHOSEN = "left out of these runs"
BEGIN, END = "<!-- drill: begin -->", "<!-- drill: end -->"

_COUNTED = (
    "sent", "acked", "unknown", "delivered", "recovered", "lost", "doubled", "misordered", "leaked",
)  # fmt: skip

Row = Mapping[str, Any]


def table(results: Sequence[Row]) -> str:
    """One line per fault: the longest pause of its runs, and the sums of what was counted. What
    was not run has a line that says why. Below, how long messages usually took where that is
    judged."""
    lines = [
        f"| fault | runs | pause (s) | bound (s) | {' | '.join(_COUNTED)} |",
        f"|---|--:|--:|--:|{'--:|' * len(_COUNTED)}",
    ]
    missing = FAULTS.keys() - {run["fault"] for run in results}
    gaps = [{"fault": name, "title": FAULTS[name].title, "not_run": NOT_CHOSEN} for name in missing]
    everything = sorted([*results, *gaps], key=_number)
    below = []
    for fault, runs in groupby(everything, key=lambda run: run["fault"]):
        rows = list(runs)
        if reason := rows[0].get("not_run"):
            empty = " |" * (len(_COUNTED) + 2)
            lines.append(f"| {fault} {rows[0]['title']} | not run: {reason} |{empty}")
            continue
        worst = max(rows, key=lambda run: run["pause"] - run["bound"])
        sums = [sum(run["counts"][name] for run in rows) for name in _COUNTED]
        lines.append(
            f"| {fault} {worst['title']} | {len(rows)} | {worst['pause']:.1f} "
            f"| {worst['bound']:.1f} | {' | '.join(f'{count:,}' for count in sums)} |"
        )
        below += _usual(fault, rows)
    return "\n".join(lines + ([""] if below else []) + below)


def _usual(fault: str, runs: Sequence[Row]) -> list[str]:
    """What is said of a fault during which messages have to come to all others as usual."""
    judged = [run for run in runs if run.get("calm") and run.get("p99") is not None]
    if not judged:
        return []
    worst = max(judged, key=lambda run: run["p99"] - run["calm"])
    before = f", before it {worst['p99_before']:.2f} s" if worst.get("p99_before") else ""
    return [
        f"{fault}: 99 of 100 messages were at everybody else within {worst['p99']:.2f} s during "
        f"the fault{before}; it may be {worst['calm']:.2f} s."
    ]


def inserted(page: str, text: str) -> str:
    """The page with `text` between the marks. Raises: ValueError: it has no marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def _number(run: Row) -> tuple[int, str]:
    """F32b is the second part of the 32nd."""
    number = "".join(filter(str.isdigit, run["fault"]))
    return int(number), run["fault"]


def main() -> int:
    """Put the results of the last drill into the page."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.report")
    parser.add_argument("--results", type=Path, default=RESULTS)
    results = json.loads(parser.parse_args().results.read_bytes())
    PAGE.write_text(inserted(PAGE.read_text(), table(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
