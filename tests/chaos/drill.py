"""One run: talk, break something, let it mend, compare what was seen with what is stored."""

from __future__ import annotations

import asyncio
import random
import secrets
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tests.chaos.checker import Bounds, Database, Pauses, Verdict, judge
from tests.chaos.faults import Fault, Scene
from tests.chaos.history import Err, Memory, Recorder, read
from tests.chaos.load import Load
from tests.chaos.stage import Stage
from tests.chaos.workload import People, Workload, contents, meetings, milliseconds, statuses

DRILL = "drill"
BOUNDS = Bounds()
LINGER = 3.0  # seconds between the last word and the end: what comes twice comes by then
SAMPLE = 1.0  # seconds between two looks at the memory
_PAGE = 4096  # bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What one fault did under one seed."""

    fault: str
    title: str
    seed: int
    pause: float
    """Seconds that somebody waited at most for an answer or a message."""
    bound: float
    """Seconds that this may be, with the length of the fault where it counts from its end."""
    p99_before: float | None
    """Seconds until 99 of 100 messages were at sockets that listened, before the fault."""
    p99: float | None
    """The same during the fault, without those who were made to read slowly."""
    calm: float | None
    """Seconds that `p99` may be; None: it is not judged."""
    counts: dict[str, int]
    pauses: list[dict[str, Any]]
    violations: list[str]
    seconds: float
    """How long the run took."""
    folder: str | None
    """Where its history and logs are; None: it went well."""

    @property
    def late(self) -> bool:
        """Whether somebody waited longer than promised, or too many did a little."""
        return self.pause > self.bound or self.sluggish

    @property
    def sluggish(self) -> bool:
        """Whether messages took too long to people who had nothing to do with the fault."""
        return self.calm is not None and self.p99 is not None and self.p99 > self.calm

    def line(self) -> str:
        """For people."""
        kept = "kept" if not self.violations else f"BROKEN ({len(self.violations)})"
        slow = " LATE" if self.late else ""
        counts = " ".join(f"{name} {count}" for name, count in self.counts.items())
        return (
            f"{self.fault:4} seed {self.seed:<6} {kept}{slow}  pause {self.pause:.1f} s "
            f"of {self.bound:.1f} s  {self._p99()}{counts}  ({self.title})"
        )

    def _p99(self) -> str:
        if self.calm is None or self.p99 is None or self.p99_before is None:
            return ""
        return f"p99 {self.p99:.2f} s, before {self.p99_before:.2f} s, of {self.calm:.2f} s  "


@dataclass(frozen=True, slots=True)
class NotRun:
    """A fault that could not be tried here."""

    fault: str
    title: str
    not_run: str
    """Why."""


async def run(
    stage: Stage, people: People, fault: Fault, load: Load, seed: int, folder: Path, *, scale: float
) -> Result:
    """Run one fault on a healthy stage, which is healthy again afterwards.

    Its files stay in `folder` when a promise was broken.

    Raises:
        AssertionError: the stage does not mend, or the fault did not happen.
    """
    began = time.monotonic()
    load = fault.load(load)
    await asyncio.to_thread(folder.mkdir, parents=True)
    history = folder / "history.jsonl"
    users = await people.gather(stage, load.sockets)
    mark = secrets.token_hex(3)
    rooms = await meetings(stage, users, load, f"{fault.id}-{seed}-{mark}")
    workload = Workload(folder, rooms, history, mark)
    with Recorder(history) as recorder:
        scene = Scene(
            stage=stage,
            rooms=rooms,
            dice=random.Random(f"{fault.id} {seed}"),
            recorder=recorder,
            fault=fault.id,
            mark=mark,
            tokens={user.username: user.token for user in users},
            load=load,
            scale=scale,
        )
        since = milliseconds() - 60_000
        async with workload.running(stage, users, load, seed, since), sampling(stage, recorder):
            await workload.begin()
            await asyncio.sleep(load.before)
            await fault.inject(scene)
            await asyncio.sleep(load.after)
            await workload.stop()
            await workload.settle(await contents(stage, rooms))
            await asyncio.sleep(LINGER)
            await stage.heal()  # presence is told by services that the fault may have left dead
            seen = await statuses(stage, users, expected="online")
            await workload.end()
    stored = replace(await contents(stage, rooms), statuses=seen)
    verdict, refusals = await asyncio.to_thread(_judged, history, stored)
    result = result_of(fault, seed, verdict, refusals, time.monotonic() - began, folder)
    if result.folder is None:
        shutil.rmtree(folder)
    else:
        shutil.copytree(stage.logs, folder / "logs")
        (folder / "violations.txt").write_text("\n".join(result.violations) + "\n")
    return result


@asynccontextmanager
async def sampling(stage: Stage, recorder: Recorder) -> AsyncIterator[None]:
    """Note how much memory the services hold, as long as the context lasts."""

    async def sample() -> None:
        while True:
            for service in stage.services:
                program = service.program
                if program.lives and (rss := _resident(program.pid)):
                    life = f"{program.name}#{program.starts}"
                    recorder.write(Memory(proc=DRILL, process=life, rss=rss))
            await asyncio.sleep(SAMPLE)

    task = asyncio.create_task(sample(), name="memory")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


def _resident(pid: int) -> int:
    """Bytes of memory of a process; 0 when it has just ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _judged(history: Path, stored: Database) -> tuple[Verdict, list[str]]:
    """What the checker says, and sends that were refused although their authors are members."""
    records = read(history)
    refusals = [
        f"answered: {one.user} was refused {one.id}: {one.reason}"
        for one in records
        if isinstance(one, Err) and one.outcome == "refused"
    ]
    return judge(records, stored, BOUNDS), refusals


def result_of(
    fault: Fault, seed: int, verdict: Verdict, refusals: list[str], seconds: float, folder: Path
) -> Result:
    """What the judge's numbers mean for this fault.

    Args:
        refusals: sends that were refused although their authors are members.
        seconds: how long the run took.
        folder: where its history is.
    """
    judged = [
        *((_longest(one), _allowed(fault, one)) for one in verdict.pauses),
        *(
            (one.slowed, fault.slowed + _lasted(one))
            for one in verdict.pauses
            if one.slowed is not None
        ),
    ]
    # The one that comes closest to its bound, or exceeds it the most.
    pause, bound = max(judged, key=lambda one: one[0] - one[1], default=(0.0, fault.bound))
    violations = [*map(str, verdict.violations), *refusals]
    before = next((one.p99_before for one in verdict.pauses), None)
    during = max((one.p99 for one in verdict.pauses if one.p99 is not None), default=None)
    result = Result(
        fault=fault.id,
        title=fault.title,
        seed=seed,
        pause=round(pause, 2),
        bound=round(bound, 2),
        p99_before=_rounded(before),
        p99=_rounded(during),
        calm=None if fault.calm is None else _rounded(max(fault.calm, 2 * (before or 0.0))),
        counts=asdict(verdict.counts),
        pauses=[asdict(one) for one in verdict.pauses],
        violations=violations,
        seconds=round(seconds, 1),
        folder=str(folder),
    )
    return result if violations or result.late else replace(result, folder=None)


def _longest(pauses: Pauses) -> float:
    return max(pauses.delivery or 0.0, pauses.recovery or 0.0, pauses.write or 0.0)


def _allowed(fault: Fault, pauses: Pauses) -> float:
    return fault.bound + (_lasted(pauses) if fault.after_heal else 0.0)


def _lasted(pauses: Pauses) -> float:
    """Seconds from the fault to its end."""
    return pauses.ended - pauses.began - BOUNDS.quiet


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
