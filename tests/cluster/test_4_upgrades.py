"""`helm upgrade` to another image and `helm rollback`, while people talk."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.cluster.drains import Drains, drains_of
from tests.cluster.load import Doors, load
from tests.cluster.release import Release
from tests.cluster.report import Report
from tests.cluster.target import Target
from tests.cluster.verdict import Verdict
from tests.conformance.rest import User

SERVICE_RESTART = 1012
LINGER = 3.0  # seconds


async def test_to_another_image(
    release: Release, doors: Doors, people: Sequence[User], target: Target, report: Report
) -> None:
    """Every service is replaced; nobody loses a message or is refused twice in a row."""
    await release.scaled(2)
    before = await release.pods("streamer")
    async with load(doors, people) as talk, drains_of(release) as drains:
        await talk.lasts(LINGER)
        old = await release.revision(before[0])
        began = time.monotonic()
        await release.to_image(target.next_image)
        await release.is_ready()
        report.seconds("helm upgrade until all pods are replaced", time.monotonic() - began)
        await talk.lasts(LINGER)
        new = await release.revision((await release.pods("streamer"))[0])
        verdict = await talk.end("helm upgrade to another image")
    report.verdicts.append(verdict)

    after = await release.pods("streamer")
    report.figure("revision, before and after helm upgrade", " → ".join([old, new]))
    assert {pod.uid for pod in before} & {pod.uid for pod in after} == set()
    assert {pod.image.rpartition(":")[2] for pod in after} == {target.next_image.rpartition(":")[2]}
    _nobody_noticed(verdict, drains)
    report.figure(
        "clients cut at the end of a drain, by the logs of the upgrade", f"{drains.forced}"
    )


async def test_and_back(
    release: Release, doors: Doors, people: Sequence[User], target: Target, report: Report
) -> None:
    """`helm rollback` is as gentle."""
    async with load(doors, people) as talk, drains_of(release) as drains:
        await talk.lasts(LINGER)
        began = time.monotonic()
        await release.namespace.helm("rollback", release.name)
        await release.is_ready()
        report.seconds("helm rollback until all pods are replaced", time.monotonic() - began)
        await talk.lasts(LINGER)
        verdict = await talk.end("helm rollback")
    report.verdicts.append(verdict)
    repository, _, tag = target.image.rpartition(":")
    release.chosen |= {"image.repository": repository, "image.tag": tag}

    assert {pod.image.rpartition(":")[2] for pod in await release.pods("streamer")} == {tag}
    _nobody_noticed(verdict, drains)


def _nobody_noticed(verdict: Verdict, drains: Drains) -> None:
    assert verdict.violations == ()
    assert verdict.lost == 0
    assert verdict.reconnects > 0
    assert set(verdict.codes) == {SERVICE_RESTART}
    assert verdict.failed_in_a_row < 2
    assert len(drains.ended) == 2
    assert drains.forced == 0
