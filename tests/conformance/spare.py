"""Streamers of a test's own beside those of the Hubbub, with settings that no real one has."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from hubbub.ids import random_id
from hubbub.local.plans import LAPTOP
from tests.conformance.conftest import Running
from tests.waiting import eventually

START = 60.0  # seconds until a streamer serves on a busy machine


@dataclass(frozen=True)
class Streamer:
    """A streamer process that serves clients."""

    process: subprocess.Popen[bytes]
    port: int
    ops_port: int

    @property
    def websocket(self) -> str:
        return f"ws://127.0.0.1:{self.port}/websocket"

    async def metric(self, name: str, label: str = "") -> float:
        """The sum of a metric over all of its labels, or over those lines that hold `label`."""
        text = await _get(f"http://127.0.0.1:{self.ops_port}/metrics")
        lines = [
            line
            for line in text.splitlines()
            if line.partition("{")[0].split()[0] == name and label in line
        ]
        return sum(float(line.rpartition(" ")[2]) for line in lines)

    async def ended(self, within: float = 30.0) -> int:
        """Wait until the process has ended; its exit status."""
        return await asyncio.to_thread(self.process.wait, within)


@asynccontextmanager
async def streamer(
    hubbub: Running, *, environment: Mapping[str, str] | None = None, **settings: object
) -> AsyncIterator[Streamer]:
    """One more streamer of this Hubbub, reached directly and not through its front door.

    `settings`: its own, named as in `HUBBUB_STREAMER_...`; `environment`: further variables.
    Rates have no limit unless given.
    """
    port, ops_port = _free_ports()
    variables = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")},
        **LAPTOP,
        "HUBBUB_HTTP_FORWARDED_COUNT": "0",
        **hubbub.bus_environment,
        "HUBBUB_OPS_PORT": str(ops_port),
        "HUBBUB_STREAMER_HOST": "127.0.0.1",
        "HUBBUB_STREAMER_PORT": str(port),
        **{f"HUBBUB_STREAMER_{name.upper()}": str(value) for name, value in settings.items()},
        **(environment or {}),
    }
    output = hubbub.data / "log" / f"spare-{random_id(6)}.log"
    with output.open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220  begins at once
            [sys.executable, "-m", "hubbub.cli.main", "run", "ddp-streamer"],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=variables,
        )
    try:
        await eventually(
            lambda: process.poll() is not None or _is_ready(ops_port),
            within=START,
            what=f"a streamer that is ready, see {output}",
        )
        assert process.poll() is None, output.read_text()
        yield Streamer(process, port, ops_port)
    finally:
        if process.poll() is None:
            process.kill()
        await asyncio.to_thread(process.wait)


async def own_streamers(hubbub: Running) -> list[str]:
    """The WebSocket addresses of the Hubbub's own streamers, each without the front door."""
    told = told_of_streamers(hubbub, "serving")
    return [f"ws://127.0.0.1:{entry['port']}/websocket" for entry in told]


def told_of_streamers(hubbub: Running, event: str) -> list[dict[str, Any]]:
    """The last log entry of this kind of each of the Hubbub's own streamers."""
    told = []
    for file in sorted((hubbub.data / "log").glob("ddp-streamer-*.log")):
        lines = file.read_text().splitlines()
        told.append([json.loads(line) for line in lines if f'"{event}"' in line][-1])
    return told


async def _get(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        answer.raise_for_status()
        return await answer.text()


async def _is_ready(ops_port: int) -> bool:
    try:
        await _get(f"http://127.0.0.1:{ops_port}/readyz")
    except aiohttp.ClientError:
        return False
    return True


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]
