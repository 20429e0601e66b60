"""The faults that every commit has to survive, on one small stage.

Speed is not judged here: how long a pause lasts on a machine that does ten other things says
nothing. `make chaos` measures it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.chaos.drill import run
from tests.chaos.faults import FAULTS
from tests.chaos.load import SMALL
from tests.chaos.stage import FEW_COPIES, Options, Stage
from tests.chaos.workload import People

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

SEED = 1
FOREVER = 60.0  # seconds; whoever waits longer than that has been forgotten


@dataclass(frozen=True, slots=True)
class Ground:
    """What the runs share."""

    stage: Stage
    people: People


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """A stage that is up."""
    stage = Stage(tmp_path_factory.mktemp("stage"), Options(copies=FEW_COPIES))
    try:
        asyncio.run(stage.start())
        yield Ground(stage, People())
    finally:
        stage.end()


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.small])
async def test_nothing_is_lost(
    ground: Ground, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """Whatever is promised holds through the fault."""
    await ground.stage.heal()  # whatever the test before left behind
    folder = tmp_path_factory.mktemp("runs") / name
    result = await run(ground.stage, ground.people, FAULTS[name], SMALL, SEED, folder, scale=0.2)

    assert result.violations == [], f"see {result.folder}"
    assert result.counts["acked"] == result.counts["sent"] > 0
    assert result.counts["delivered"] > result.counts["sent"]
    assert result.pause < FOREVER
