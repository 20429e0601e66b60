"""Results on disk, the table at the end of a run, and the figures in the README."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Outcome, number, shown
from benchmarks.targets import judge

FOLDER = Path(__file__).parent / "results"
README = Path(__file__).parent / "README.md"
BEGIN = "<!-- figures: begin (written by python -m benchmarks.run --write-readme) -->"
END = "<!-- figures: end -->"
_BUSY = 1.0  # processes that wanted a core before the run began


class NoFigures(Exception):
    """There is nothing to write; the text says what is missing."""


@dataclass(slots=True)
class Result:
    """One run of everything, or of some of it."""

    name: str
    date: str
    """ISO 8601, UTC."""
    length: str
    """`short` or `full`."""
    machine: dict[str, Any]
    load_before: float
    """Processes that wanted a core when the run began."""
    seconds: float = 0.0
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    """By measurement."""
    failures: dict[str, str] = field(default_factory=dict)
    """Measurement → why it gave nothing."""

    @property
    def figures(self) -> dict[str, Figure]:
        """Of all measurements."""
        return {
            name: figure
            for outcome in self.outcomes.values()
            for name, figure in outcome.figures.items()
        }

    @property
    def notes(self) -> list[str]:
        """What readers must know."""
        notes = [note for outcome in self.outcomes.values() for note in outcome.notes]
        notes += [f"{name} failed: {reason}" for name, reason in self.failures.items()]
        if self.load_before > _BUSY:
            notes.insert(
                0,
                f"the machine was busy with other work ({self.load_before:.1f} processes wanted a "
                "core before the run began): not for publication",
            )
        return notes

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "date": self.date,
            "length": self.length,
            "machine": self.machine,
            "load_before": round(self.load_before, 2),
            "seconds": round(self.seconds),
            "outcomes": {name: one.to_json() for name, one in self.outcomes.items()},
            "failures": self.failures,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Result:
        return cls(
            name=found["name"],
            date=found["date"],
            length=found["length"],
            machine=found["machine"],
            load_before=found["load_before"],
            seconds=found["seconds"],
            outcomes={name: Outcome.from_json(one) for name, one in found["outcomes"].items()},
            failures=dict(found["failures"]),
        )


def save(result: Result, folder: Path = FOLDER) -> Path:
    """Write a result to `<date>-<name>.json`; the file."""
    folder.mkdir(exist_ok=True)
    stamp = result.date.partition("+")[0].replace(":", "").replace("T", "-")
    path = folder / f"{stamp}-{result.name}.json"
    path.write_text(json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n")
    return path


def load(path: Path) -> Result:
    """A result that was saved."""
    return Result.from_json(json.loads(path.read_text()))


def latest(folder: Path = FOLDER) -> Result:
    """The newest full run, else the newest short one. Raises: NoFigures."""
    results = sorted((load(path) for path in folder.glob("*.json")), key=lambda one: one.date)
    whole = [one for one in results if one.name in {"full", "short"}]
    if not whole:
        raise NoFigures(f"no result of a whole run in {folder}")
    return next((one for one in reversed(whole) if one.length == "full"), whole[-1])


def table(result: Result) -> str:
    """Targets and figures side by side, for a terminal."""
    rows = [("what", "measured", "target", "", "how")]
    for judged in judge(result.figures):
        target, figure = judged.target, judged.figure
        measured = "–" if figure is None else f"{number(figure.value)} {figure.unit}"
        how = target.how
        if result.length == "short" and target.short:
            how += f" (here: {target.short})"
        rows.append((target.what, measured, target.bound, judged.verdict, how))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]])
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, "", *(f"note: {note}" for note in result.notes)])


def section(result: Result) -> str:
    """The figures as the README shows them."""
    machine = result.machine
    versions = ", ".join(f"{name} {value}" for name, value in machine["versions"].items())
    lines = [
        f"Measured on {result.date[:10]}, {result.length} run, on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}.",
        "",
        *(f"* {note}" for note in result.notes),
        "",
        "| what | measured | target | | how |",
        "|---|---|---|---|---|",
    ]
    for judged in judge(result.figures):
        target, figure = judged.target, judged.figure
        how = target.how
        if result.length == "short" and target.short:
            how += f" (this short run: {target.short})"
        measured = "–" if figure is None else shown(figure)
        lines.append(f"| {target.what} | {measured} | {target.bound} | {judged.verdict} | {how} |")
    lines += ["", "All figures; in brackets the least and the greatest round:", ""]
    for name, outcome in result.outcomes.items():
        lines += [f"| {name} | |", "|---|---|"]
        lines += [f"| `{key}` | {shown(figure)} |" for key, figure in outcome.figures.items()]
        lines.append("")
    lines.append(f"Versions: {versions}.")
    return "\n".join(lines)


def written(readme: str, result: Result) -> str:
    """The README with the figures of `result` between its markers. Raises: NoFigures."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise NoFigures("the README has no markers for figures")
    return f"{before}{BEGIN}\n\n{section(result)}\n\n{END}{after}"
