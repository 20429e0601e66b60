"""`kubectl scale` while people talk."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.cluster.drains import drains_of
from tests.cluster.load import Doors, load
from tests.cluster.release import Release
from tests.cluster.report import Report
from tests.conformance.rest import User

SERVICE_RESTART = 1012
LINGER = 3.0  # seconds


async def test_from_one_to_four_and_down_to_two(
    release: Release, doors: Doors, people: Sequence[User], report: Report
) -> None:
    """Nothing is lost, and whoever is sent elsewhere is told why."""
    await release.scaled(1)
    async with load(doors, people) as early, drains_of(release) as drains:
        await early.lasts(LINGER)
        began = time.monotonic()
        await release.scaled(4)
        report.seconds("kubectl scale 1 to 4 until all are ready", time.monotonic() - began)
        # Only new sockets go to new streamers.
        async with load(doors, people) as late:
            await late.lasts(LINGER)
            began = time.monotonic()
            await release.scaled(2)
            report.seconds("kubectl scale 4 to 2 until two are gone", time.monotonic() - began)
            await late.lasts(LINGER)
            verdicts = [await late.end("kubectl scale 4 to 2, who came then")]
        verdicts.append(await early.end("kubectl scale 1 to 4 to 2"))
    report.verdicts += reversed(verdicts)

    for verdict in verdicts:
        assert verdict.violations == ()
        assert verdict.lost == 0
        assert set(verdict.codes) <= {SERVICE_RESTART}
        assert verdict.failed_in_a_row < 2
    assert verdicts[0].reconnects > 0
    assert len(drains.ended) == 2
    assert drains.sessions > 0
    assert drains.forced == 0


async def test_down_to_one_and_everybody_moves(
    release: Release, doors: Doors, people: Sequence[User], report: Report
) -> None:
    """The pod with half of the people goes: they all move, and lose nothing."""
    await release.scaled(2)
    async with load(doors, people) as talk, drains_of(release) as drains:
        await talk.lasts(LINGER)
        await release.scaled(1)
        await talk.lasts(LINGER)
        verdict = await talk.end("kubectl scale 2 to 1")
    report.verdicts.append(verdict)

    assert verdict.violations == ()
    assert verdict.lost == 0
    assert verdict.reconnects > 0
    assert set(verdict.codes) == {SERVICE_RESTART}
    assert verdict.failed_in_a_row < 2
    assert drains.sessions > 0
    assert drains.forced == 0
