"""The failure drill.

    python -m tests.chaos [--fault F1 ...] [--seeds 3] [--small]

Runs each fault under each seed on real processes, lets the checker judge, and prints a line per
run. A seed under which a promise was broken is stored in tests/chaos/seeds, and run again each
time from then on. Exit status 1 when a promise was broken or somebody waited too long.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos import seeds
from tests.chaos.drill import NotRun, Result, run
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.load import FULL, SMALL, Load
from tests.chaos.other import installed
from tests.chaos.report import RESULTS
from tests.chaos.stage import FEW_COPIES, STREAMER, Options, stage
from tests.chaos.workload import People


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--fault", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="ID")
    parser.add_argument("--seeds", type=int, default=3, help="new seeds per fault")
    parser.add_argument("--seed", type=int, nargs="+", help="these seeds and no others")
    parser.add_argument("--seconds", type=float, help="of talk before and after each fault")
    parser.add_argument("--small", action="store_true", help="load and stage of `make test`")
    parser.add_argument("--streamers", type=int, help="how many there are; F3 has one more")
    parser.add_argument("--scale", type=float, default=1.0, help="shortens what lasts a minute")
    parser.add_argument("--results", type=Path, default=RESULTS, help="JSON file to write")
    parser.add_argument("--add", action="store_true", help="keep the file's results of others")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--other-tree", type=Path, help="of another version, installed (for F31)")
    other.add_argument(
        "--other-commit", metavar="REVISION", help="makes such a tree in the user's cache"
    )
    chosen = parser.parse_args()
    options = Options(copies=FEW_COPIES) if chosen.small else Options()
    if chosen.streamers is not None:
        copies = {**options.copies, STREAMER: chosen.streamers}
        options = dataclasses.replace(options, copies=copies)
    tree = installed(chosen.other_commit) if chosen.other_commit else chosen.other_tree
    if tree is not None:
        options = dataclasses.replace(options, other_tree=tree.resolve())
    load = SMALL if chosen.small else FULL
    if chosen.seconds is not None:
        load = dataclasses.replace(load, before=chosen.seconds, after=chosen.seconds)
    runs = [
        (FAULTS[name], seed)
        for name in chosen.fault
        for seed in chosen.seed or [*seeds.stored(name), *_fresh(chosen.seeds)]
    ]
    folder = Path(tempfile.mkdtemp(prefix="hubbub-chaos-"))
    results, failed = asyncio.run(_matrix(runs, options, load, folder, chosen.scale))
    rows = [dataclasses.asdict(one) for one in results]
    if chosen.add and chosen.results.exists():
        known = json.loads(chosen.results.read_bytes())
        rows = [*(one for one in known if one["fault"] not in chosen.fault), *rows]
    chosen.results.write_text(json.dumps(rows, indent=1) + "\n")
    judged = [one for one in results if isinstance(one, Result)]
    broken = failed or any(one.violations or one.late for one in judged)
    print(f"{len(judged)} of {len(runs)} runs; results: {chosen.results}; kept: {folder}")
    return 1 if broken else 0


async def _matrix(
    runs: Sequence[tuple[Fault, int]], options: Options, load: Load, folder: Path, scale: float
) -> tuple[list[Result | NotRun], bool]:
    """All runs, those on equal stages together; and whether one could not be judged."""
    results: list[Result | NotRun] = []
    failed = False
    left = []
    for fault, seed in runs:
        if (reason := fault.unable(options)) is None:
            left.append((fault, seed))
        elif not any(one.fault == fault.id for one in results):
            results.append(NotRun(fault.id, fault.title, reason))
            print(f"{fault.id:4} not run: {reason}", flush=True)
    while left:
        wanted = left[0][0].options(options)
        together = [one for one in left if one[0].options(options) == wanted]
        left = [one for one in left if one not in together]
        place = folder / f"stage-{time.monotonic_ns()}"
        while together:
            async with stage(place / str(len(together)), wanted) as built:
                people = People()
                while together:
                    fault, seed = together.pop(0)
                    try:
                        result = await run(
                            built, people, fault, load, seed, folder / f"{fault.id}-{seed}",
                            scale=scale,
                        )  # fmt: skip
                    except Exception as error:
                        # Whatever it was, this stage is of no more use; the next fault gets a
                        # new one.
                        failed = True
                        print(f"{fault.id:4} seed {seed:<6} NOT JUDGED: {error!r}", flush=True)
                        seeds.store(fault.id, seed, [f"not judged: {error!r}"])
                        break
                    results.append(result)
                    print(result.line(), flush=True)
                    for violation in result.violations[:10]:
                        print(f"       {violation}")
                    if result.folder is not None:
                        print(f"       kept: {result.folder}", flush=True)
                    if result.violations:
                        seeds.store(fault.id, seed, result.violations)
    return results, failed


def _fresh(count: int) -> list[int]:
    return [random.SystemRandom().randrange(1, 100_000) for _ in range(count)]


if __name__ == "__main__":
    sys.exit(main())
