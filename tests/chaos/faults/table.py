"""What a fault is, and the table of all of them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from tests.chaos.checker import Bounds
from tests.chaos.history import Fault as Broken
from tests.chaos.history import Healed, Recorder, Slowed
from tests.chaos.load import FULL, Load
from tests.chaos.stage import Options, Stage
from tests.chaos.workload import Meeting

DRILL = "drill"
APART = Bounds().quiet + 1.0
"""Seconds between two steps of a fault, so that what is waited for belongs to one of them."""


@dataclass(slots=True)
class Scene:
    """What a fault acts on."""

    stage: Stage
    rooms: list[Meeting]
    dice: random.Random
    recorder: Recorder
    fault: str
    mark: str
    """Begins the ids of all messages of this run."""
    tokens: dict[str, str]
    """Username → token, for a fault that says something itself."""
    load: Load = FULL
    scale: float = 1.0
    """Shortens what a fault does for long, where its length proves nothing more."""

    def broken(self, what: str = "") -> None:
        """Note that from now on something is broken."""
        self.recorder.write(Broken(proc=DRILL, fault=self.fault, what=what))

    def healed(self) -> None:
        """Note that it is whole again; what clients wait for longer belongs to the fault."""
        self.recorder.write(Healed(proc=DRILL, fault=self.fault))

    def slowed(self, user: str) -> None:
        """Note that this user reads slowly from now on, and may be sent away for that."""
        self.recorder.write(Slowed(proc=DRILL, user=user))

    async def lasts(self, seconds: float) -> None:
        """Let time pass while something is broken."""
        await asyncio.sleep(seconds)

    async def apart(self) -> None:
        """Let what the last step cost come to its end before the next one begins."""
        await asyncio.sleep(APART)


Inject = Callable[[Scene], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row of the matrix."""

    id: str
    title: str
    bound: float
    """Seconds that a connected client may wait for a message, at most."""
    inject: Inject
    after_heal: bool = False
    """Whether the bound counts from the moment at which nothing is broken any more."""
    small: bool = False
    """Whether `make test` has it."""
    options: Callable[[Options], Options] = lambda options: options
    """The stage it needs; faults with equal ones share a stage."""
    load: Callable[[Load], Load] = lambda load: load
    """The load it needs."""
    slowed: float = 0.0
    """Seconds from the fault's end in which those who were made to read slowly have everything."""
    calm: float | None = None
    """Seconds that a message may take on its way to 99 of 100 of the others while the fault
    lasts, or twice of what it took before if that is more; None: it is measured, not judged."""
    unable: Callable[[Options], str | None] = lambda options: None
    """Why it cannot be tried on this machine, or with these options; None: it can."""


FAULTS: dict[str, Fault] = {}


def fault(
    id: str,  # noqa: A002 - what everybody calls it
    title: str,
    *,
    bound: float,
    after_heal: bool = False,
    small: bool = False,
    options: Callable[[Options], Options] = lambda options: options,
    load: Callable[[Load], Load] = lambda load: load,
    slowed: float = 0.0,
    calm: float | None = None,
    unable: Callable[[Options], str | None] = lambda options: None,
) -> Callable[[Inject], Inject]:
    """Enter a function in the table.

    It calls `scene.broken` when it breaks something and `scene.healed` when nothing is broken
    any more but for what Hubbub has to mend by itself; dead programs may stay dead.
    """

    def enter(inject: Inject) -> Inject:
        if id in FAULTS:
            raise ValueError(f"there are two faults {id}")
        FAULTS[id] = Fault(
            id, title, bound, inject, after_heal, small, options, load, slowed, calm, unable
        )
        return inject

    return enter
