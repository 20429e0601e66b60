"""Conformance: many clients at once against three streamers, on a Hubbub of their own."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.coming_back import come_back
from tests.conformance.conftest import Running, started
from tests.conformance.processes import children_running
from tests.conformance.spare import own_streamers, told_of_streamers
from tests.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

ACTIONS = {"login", "message", "read", "openRoom", "setStatus", "listenPresence", "uploadFile"}

SOCKETS = min(5_000, 500 * (os.cpu_count() or 1))
"""As many as the checklist says where there are processors for them: clients, streamers, services
and database share this machine. One sign-in with its presence costs them all some 3 ms.
`python -m tests.conformance.coming_back --users 5000` is the whole of it, with its times."""
COME_WITHIN = 10.0  # seconds
HEARD_WITHIN = 30.0
"""Seconds in which a message must have arrived while they come; the same is true of this."""
SERVED_WITHIN = 120.0
"""Seconds in which a socket must be served, not how long it takes: that is for the benchmarks."""


@pytest.fixture(scope="module")
def three() -> Iterator[Running]:
    """A Hubbub with three streamers."""
    with started(streamers=3) as running:
        yield running


def test_082_the_load_of_the_official_tester(three: Running, clients: Path) -> None:
    """No action fails, and what is sent arrives once wherever the room is open."""
    web, mobile, seconds = 20, 6, 12
    assert len(children_running(three, "ddp-streamer")) == 3

    done = subprocess.run(
        ["node", "load.mjs", "load", three.url, str(web), str(mobile), str(seconds)],
        cwd=clients,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=180,
    )

    assert done.returncode == 0, done.stdout
    report = json.loads(done.stdout.splitlines()[-1])
    assert report["errors"] == []
    assert set(report["counts"]) == ACTIONS
    assert all(count["success"] > 0 for count in report["counts"].values())
    assert report["sent"] > 5 * seconds
    assert report["deliveries"] > report["sent"]
    assert report["missing"] == []
    assert report["doubled"] == 0


async def test_090_five_thousand_sockets_come_back_in_ten_seconds(three: Running) -> None:
    """All are signed in and subscribed, nobody is refused; and what others say meanwhile arrives
    everywhere, once."""
    assert len(await own_streamers(three)) == 3
    before = await _calls(three)

    report = await come_back(three, SOCKETS, within=COME_WITHIN, patience=SERVED_WITHIN)

    assert report.served_last <= SERVED_WITHIN
    assert report.messages > 2 * COME_WITHIN
    assert report.storm_worst < HEARD_WITHIN
    now = await _calls(three)
    assert now["account"] > before["account"]  # how many share a call depends on the machine
    assert await _logins(three) >= SOCKETS
    assert now["authorization"] > before["authorization"]
    await eventually(lambda: _is_empty(three), within=30.0, what="the sockets are gone")


async def _metrics(hubbub: Running) -> list[str]:
    """Of each streamer."""
    answers = []
    async with aiohttp.ClientSession() as session:
        for told in told_of_streamers(hubbub, "ops_listening"):
            async with session.get(f"http://127.0.0.1:{told['port']}/metrics") as answer:
                answers.append(await answer.text())
    return answers


async def _is_empty(hubbub: Running) -> bool:
    return all("hubbub_streamer_connections 0.0" in text for text in await _metrics(hubbub))


async def _logins(hubbub: Running) -> int:
    """The streamers' good logins with a token so far."""
    wanted = 'hubbub_streamer_logins_total{method="resume",outcome="ok"}'
    return sum(
        int(float(line.rpartition(" ")[2]))
        for text in await _metrics(hubbub)
        for line in text.splitlines()
        if line.startswith(wanted)
    )


async def _calls(hubbub: Running) -> Counter[str]:
    """The streamers' calls so far, by service."""
    calls: Counter[str] = Counter()
    for text in await _metrics(hubbub):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "hubbub_rpc_client_duration_seconds_count":
                    calls[sample.labels["service"]] += int(sample.value)
    return calls
