"""Runs the simulation from the command line: see `tests.simulation`."""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.run import Outcome, run


def main() -> int:
    """Run what was asked for; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="how many runs")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first seed")
    parser.add_argument("--seed", type=int, help="run exactly this one")
    parser.add_argument("--story", action="store_true", help="tell all that happened")
    asked = parser.parse_args()
    if asked.seed is not None:
        outcome = run(asked.seed, told=asked.story)
        if asked.story:
            for moment, *what in outcome.story:
                print(f"{moment:10.4f}", *what)
        print(f"seed {outcome.seed}: trace {outcome.trace}, {outcome.steps} steps")
        _complain(outcome)
        return bool(outcome.violations)
    begun, failed = time.process_time(), 0
    for seed in range(asked.first, asked.first + asked.seeds):
        outcome = run(seed)
        failed += bool(outcome.violations)
        if outcome.violations:
            _complain(outcome)
    seconds = time.process_time() - begun
    print(f"{asked.seeds} seeds from {asked.first}: {failed} failed, {seconds:.1f} s of CPU")
    return bool(failed)


def _complain(outcome: Outcome) -> None:
    for violation in outcome.violations[:5]:
        print(f"seed {outcome.seed}: {violation}")
    if outcome.violations:
        print(f"    again: python -m tests.simulation --seed {outcome.seed} --story")


sys.exit(main())
