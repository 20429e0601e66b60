"""Pods that die without a word while people talk."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cluster.load import Doors, load
from tests.cluster.release import Pod, Release
from tests.cluster.report import Report
from tests.cluster.verdict import Verdict
from tests.conformance.rest import User
from tests.waiting import eventually

LINGER = 3.0  # seconds
PROMISE = 30.0  # seconds until everybody talks again, a pod's start on a busy node included
KILLED = ["streamer", "stream-hub", "messaging"]
SERVERS = {"nats": "nats-server", "mongodb": "mongod"}
"""Component → its program."""


@pytest.mark.parametrize("component", [*KILLED, *SERVERS])
async def test_kill_9_in_the_container(
    release: Release, doors: Doors, people: Sequence[User], report: Report, component: str
) -> None:
    """One of two dies and starts again in its pod; of the hubs it is the one that leads. Of the
    servers there is but one."""
    await release.scaled(2)
    async with load(doors, people) as talk:
        await talk.lasts(LINGER)
        victim = await _victim(release, component)
        processes = processes_of(victim, SERVERS.get(component, "hubbub"))
        if not processes:
            pytest.skip("the pod's processes are not on this machine")
        for pid in processes:
            os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        await talk.goes_on()
        report.seconds(f"kill -9 of a {component} until all hear all", time.monotonic() - killed)
        await _restarted(release, component, victim)
        await release.is_ready()
        await talk.lasts(LINGER)
        verdict = await talk.end(f"kill -9 in a container of {component}")
    report.verdicts.append(verdict)

    _nothing_is_lost(verdict)


@pytest.mark.parametrize("component", [*KILLED, "nats"])
async def test_delete_by_force(
    release: Release, doors: Doors, people: Sequence[User], report: Report, component: str
) -> None:
    """`kubectl delete pod --grace-period=0 --force` of one of two. With the only NATS its event log
    goes too: clients are told to load anew."""
    await release.scaled(2)
    async with load(doors, people) as talk:
        await talk.lasts(LINGER)
        victim = await _victim(release, component)
        count = len(await release.pods(component))
        await release.kill([victim])
        await talk.goes_on()
        await release.is_ready()
        await talk.lasts(LINGER)
        verdict = await talk.end(f"kubectl delete --force of a {component}")
    report.verdicts.append(verdict)

    pods = await release.pods(component)
    assert len(pods) == count
    assert victim.uid not in {pod.uid for pod in pods}
    _nothing_is_lost(verdict)


def _nothing_is_lost(verdict: Verdict) -> None:
    assert verdict.violations == ()
    assert verdict.lost == 0
    assert verdict.longest_gap <= PROMISE


async def _victim(release: Release, component: str) -> Pod:
    pods = await release.pods(component)
    if component != "stream-hub":
        return pods[0]

    async def leaders() -> list[Pod]:
        return [pod for pod in pods if await release.metric(pod, "hubbub_hub_leader")]

    return (await eventually(leaders, within=20.0, what="one hub leads"))[0]


async def _restarted(release: Release, component: str, victim: Pod) -> None:
    async def seen() -> bool:
        pods = await release.pods(component)
        return any(pod.uid == victim.uid and pod.restarts > victim.restarts for pod in pods)

    await eventually(seen, within=60.0, what=f"{victim.name} has a new container")


def processes_of(pod: Pod, program: str) -> list[int]:
    """Processes of a program in a pod, when its node is this machine."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        try:
            of_pod = pod.uid in (folder / "cgroup").read_text().replace("_", "-")
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if of_pod and program.encode() in command:
            found.append(int(folder.name))
    return found
