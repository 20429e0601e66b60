"""Conformance: many clients at once against three streamers, on a Hubbub of their own."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pymongo import AsyncMongoClient

from hubbub.ids import random_id
from tests.conformance.conftest import Running, started
from tests.conformance.crowd import Account, storm
from tests.conformance.processes import children_running
from tests.conformance.spare import own_streamers, told_of_streamers
from tests.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

ACTIONS = {"login", "message", "read", "openRoom", "setStatus", "listenPresence", "uploadFile"}

SOCKETS = min(5_000, 700 * (os.cpu_count() or 1))
"""As many as the checklist says where there are processors for them: clients, streamers, services
and database share this machine. One sign-in with its presence costs them all some 13 ms."""
COME_WITHIN = 10.0  # seconds
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
    """All are signed in and subscribed, and nobody is refused."""
    accounts = await _accounts(three)
    topics = [
        [
            ("stream-notify-user", f"{account.user_id}/notification"),
            ("stream-room-messages", "GENERAL"),
        ]
        for account in accounts
    ]
    streamers = await own_streamers(three)
    assert len(streamers) == 3
    before = await _calls(three)

    members, served = await storm(
        streamers, accounts, topics, within=COME_WITHIN, patience=SERVED_WITHIN
    )

    assert len(served) == SOCKETS
    now = await _calls(three)
    assert now["account"] - before["account"] >= SOCKETS
    assert now["authorization"] > before["authorization"]
    for member in members:
        member.close()
    await eventually(lambda: _is_empty(three), within=30.0, what="the sockets are gone")


async def _accounts(hubbub: Running) -> list[Account]:
    """Users with a token each, as another program writes them."""
    made = [Account(f"storm{random_id(12)}", random_id(43)) for _ in range(SOCKETS)]
    now = datetime.now(UTC)
    async with AsyncMongoClient[dict[str, object]](hubbub.address("mongo_url")) as client:
        await client.get_default_database()["users"].insert_many(
            {
                "_id": one.user_id,
                "username": one.user_id.lower(),
                "type": "user",
                "active": True,
                "roles": ["user"],
                "createdAt": now,
                "_updatedAt": now,
                "services": {
                    "resume": {"loginTokens": [{"when": now, "hashedToken": _hashed(one.token)}]}
                },
            }
            for one in made
        )
    return made


def _hashed(token: str) -> str:
    return base64.b64encode(hashlib.sha256(token.encode()).digest()).decode()


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


async def _calls(hubbub: Running) -> Counter[str]:
    """The streamers' calls so far, by service."""
    calls: Counter[str] = Counter()
    for text in await _metrics(hubbub):
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == "hubbub_rpc_client_duration_seconds_count":
                    calls[sample.labels["service"]] += int(sample.value)
    return calls
