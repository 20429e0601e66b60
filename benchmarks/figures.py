"""What a measurement hands back, and the command line that all of them share."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number: the median of its rounds."""

    value: float
    unit: str
    rounds: tuple[float, ...] = ()

    @classmethod
    def of(cls, rounds: Sequence[float], unit: str) -> Figure:
        """The median of `rounds`. Raises: ValueError: there are none."""
        if not rounds:
            raise ValueError("a figure needs at least one round")
        return cls(statistics.median(rounds), unit, tuple(rounds) if len(rounds) > 1 else ())

    @property
    def spread(self) -> tuple[float, float] | None:
        """Least and greatest round; None when there was only one."""
        return (min(self.rounds), max(self.rounds)) if self.rounds else None

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"value": _short(self.value), "unit": self.unit}
        if self.rounds:
            found["rounds"] = [_short(one) for one in self.rounds]
        return found

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Figure:
        return cls(found["value"], found["unit"], tuple(found.get("rounds", ())))


@dataclass(slots=True)
class Outcome:
    """All figures of one measurement, by name."""

    figures: dict[str, Figure] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What a reader must know: what was left out and why, what was not proven."""

    def put(self, name: str, rounds: float | Sequence[float], unit: str) -> None:
        """Add a figure; of several rounds the median counts."""
        values = [float(rounds)] if isinstance(rounds, int | float) else list(rounds)
        self.figures[name] = Figure.of(values, unit)

    def ratio(self, name: str, over: str, under: str) -> None:
        """Add the ratio of two figures: round by round where the rounds were taken in turn."""
        above, below = self.figures.get(over), self.figures.get(under)
        if above is None or below is None:
            return
        if above.rounds and len(above.rounds) == len(below.rounds):
            pairs = zip(above.rounds, below.rounds, strict=True)
            self.put(name, [one / other for one, other in pairs], "×")
        else:
            self.put(name, above.value / below.value, "×")

    def to_json(self) -> dict[str, Any]:
        return {
            "figures": {name: figure.to_json() for name, figure in self.figures.items()},
            "notes": self.notes,
        }

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Outcome:
        return cls(
            {name: Figure.from_json(one) for name, one in found["figures"].items()},
            list(found["notes"]),
        )

    def lines(self) -> list[str]:
        """For people."""
        width = max(map(len, self.figures), default=0)
        found = [f"{name:<{width}}  {shown(one)}" for name, one in self.figures.items()]
        return found + [f"note: {note}" for note in self.notes]


def shown(figure: Figure) -> str:
    """Value, unit and spread."""
    text = f"{number(figure.value)} {figure.unit}"
    if figure.spread is not None:
        low, high = figure.spread
        text += f"  ({number(low)} to {number(high)})"
    return text


def number(value: float) -> str:
    """With as many digits as mean something."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def command(
    doc: str | None,
    measure: Callable[[argparse.Namespace], Outcome],
    add_arguments: Callable[[argparse.ArgumentParser], None],
    argv: Sequence[str] | None = None,
) -> None:
    """The command line of a measurement: measure, print; `--json FILE` writes the outcome too."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures here")
    options = parser.parse_args(argv)
    outcome = measure(options)
    print("\n".join(outcome.lines()))
    if options.json is not None:
        options.json.write_text(json.dumps(outcome.to_json(), indent=1) + "\n")
    sys.stdout.flush()
