"""What a run measured: tables for people at its end, and the same as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.cluster.verdict import Verdict, table


@dataclass(frozen=True, slots=True)
class Figure:
    """One number, with its unit, in words."""

    what: str
    value: str


@dataclass(frozen=True, slots=True)
class Moved:
    """What one scale-in cost."""

    way: str
    """Who chose the pod."""
    before: dict[str, int]
    """Pod → connections, just before."""
    victim: str
    moved: int
    """Clients whose socket was closed."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One word of the autoscaler."""

    after: float
    """Seconds since the test began."""
    text: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What Prometheus said to one expression."""

    place: str
    """Dashboard and panel, or alert."""
    expression: str
    series: int
    remark: str
    """Why there is none, when there is none."""


@dataclass(slots=True)
class Report:
    """Everything that is told at the end."""

    figures: list[Figure] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    moved: list[Moved] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    def figure(self, what: str, value: str) -> None:
        """Note a number."""
        self.figures.append(Figure(what, value))

    def seconds(self, what: str, value: float) -> None:
        """Note a time."""
        self.figure(what, f"{value:.1f} s")

    @property
    def is_empty(self) -> bool:
        return not (self.figures or self.verdicts or self.answers)

    def write(self, path: Path) -> None:
        """As JSON, for documents that show it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def tables(self) -> dict[str, list[str]]:
        """Title → lines; empty tables are left out."""
        shown = {
            "times and figures": [f"{one.what:<64}{one.value}" for one in self.figures],
            "what was said, and what arrived": table(self.verdicts) if self.verdicts else [],
            "who has to move when the streamers become one fewer": _moved(self.moved),
            "the autoscaler": [f"{one.after:>7.1f} s  {one.text}" for one in self.decisions],
            "every expression, asked while people talk": _answers(self.answers),
        }
        return {title: lines for title, lines in shown.items() if lines}


def _moved(rows: list[Moved]) -> list[str]:
    if not rows:
        return []
    lines = [f"{'who chose':<36}{'connections of the pods':<28}{'its':>5}{'least':>7}{'moved':>7}"]
    for row in rows:
        counts = ", ".join(str(count) for count in row.before.values())
        its, least = row.before[row.victim], min(row.before.values())
        lines.append(f"{row.way:<36}{counts:<28}{its:>5}{least:>7}{row.moved:>7}")
    return lines


def _answers(rows: list[Answer]) -> list[str]:
    lines = [f"{row.place:<78}{row.series:>6}  {row.remark}".rstrip() for row in rows]
    answered = sum(row.series > 0 for row in rows)
    return [*lines, f"{answered} of {len(rows)} have data"] if rows else []
