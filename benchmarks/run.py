"""Run all measurements one after another, show them beside the targets, write them down.

    python -m benchmarks.run [--full] [--only NAME ...] [--write-readme]

Each measurement is a process of its own. A measurement that fails, or is void because something
did not arrive, is named in the table; the others count. Exit status 1 if one failed. A missed
target is no failure: times are never a test.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import results
from benchmarks.figures import Outcome
from benchmarks.machine import ROOT, describe, load_now
from benchmarks.peers import node_versions
from benchmarks.results import Result

_LIMIT = 1800.0  # seconds that one measurement may take

SHORT: Mapping[str, str] = {
    "streamer": "--rounds 3 --events 25 --bare 8000 --working 1000 --idle 3",
    "bus": "--rounds 3 --seconds 0.7",
    "hub": "--events 30000 --rate 5000 --seconds 5",
    "funnel": "--seconds 1.5",
    "end_to_end": "--users 1000 --rate 100 --seconds 8 --rounds 2 --relogin",
    "apps": "--rounds 4 --seconds 3 --starts 5",
    "change_stream_drivers": "--events 20000 --rounds 1",
}
"""Measurement → its options, six minutes in all."""

FULL: Mapping[str, str] = {
    "streamer": "--rounds 9 --events 50 --bare 8000 --working 4000 --idle 60",
    "bus": "--rounds 7 --seconds 3",
    "hub": "--events 100000 --rate 5000 --seconds 30",
    "funnel": "--seconds 10",
    "end_to_end": "--users 4000 --rate 200 --seconds 30 --rounds 5 --relogin",
    "apps": "--rounds 15 --seconds 5 --starts 20",
    "app_attacks": "--without 4 --during 6",
    "fanout_connection": "--rounds 7",
    "change_stream_drivers": "--events 100000 --rounds 5",
}

Run = Callable[[str, Sequence[str]], Outcome]


class Failed(Exception):
    """A measurement gave nothing; the text says why."""


def run_one(name: str, options: Sequence[str]) -> Outcome:
    """One measurement in a process of its own. Raises: Failed."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outcome.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", *options, "--json", str(file)]
        try:
            done = subprocess.run(
                command, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=_LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"took longer than {_LIMIT:.0f} s") from None
        if done.returncode != 0 or not file.exists():
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            print(done.stderr, file=sys.stderr)
            raise Failed(lines[-1][:300])
        return Outcome.from_json(json.loads(file.read_text()))


def run_all(
    chosen: Mapping[str, str], result: Result, *, run: Run = run_one, say: Callable[[str], None]
) -> None:
    """Fill `result` with the chosen measurements."""
    for name, options in chosen.items():
        say(f"\n=== {name} {options}")
        began = time.monotonic()
        try:
            result.outcomes[name] = run(name, options.split())
        except Failed as failed:
            result.failures[name] = str(failed)
            say(f"{name} failed: {failed}")
        took = time.monotonic() - began
        result.seconds += took
        say(f"    {took:.0f} s")


def new_result(name: str, length: str) -> Result:
    """An empty result of this machine and moment."""
    machine = describe()
    machine["versions"] |= node_versions()
    return Result(
        name=name,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        length=length,
        machine=machine,
        load_before=load_now(),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Parse arguments, measure, show, write. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the long version: an hour or less")
    parser.add_argument("--only", nargs="+", choices=sorted(FULL), metavar="NAME")
    parser.add_argument(
        "--write-readme",
        action="store_true",
        help="measure nothing; write the newest whole run's figures into benchmarks/README.md",
    )
    options = parser.parse_args(argv)
    if options.write_readme:
        try:
            newest = results.latest()
            results.README.write_text(results.written(results.README.read_text(), newest))
        except results.NoFigures as missing:
            parser.error(str(missing))
        return 0
    length = "full" if options.full else "short"
    wanted = FULL if options.full else SHORT
    if options.only:
        wanted = {name: wanted.get(name, FULL[name]) for name in options.only}
    result = new_result("-".join(options.only or [length]), length)
    run_all(wanted, result, say=lambda text: print(text, flush=True))
    print(f"\n{results.table(result)}\n")
    print(f"written to {results.save(result).relative_to(ROOT)}, {result.seconds:.0f} s")
    return 1 if result.failures else 0


if __name__ == "__main__":
    sys.exit(main())
