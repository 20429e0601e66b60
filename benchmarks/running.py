"""Hubbub as the benchmarks start it: a broker to look into, one service, or everything."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.machine import ROOT, cpu_seconds, free_port, on_cores, rss_bytes
from hubbub.local.plans import installed_services
from hubbub.local.programs import find_nats_server

READY = 90.0  # seconds that a whole Hubbub may take to start
_STOP = 30.0
_WITHOUT_LIMITS = {
    "HUBBUB_STREAMER_RATE_ADDRESS": "0",
    "HUBBUB_STREAMER_RATE_USER": "0",
    "HUBBUB_STREAMER_RATE_CONNECTION": "0",
    "HUBBUB_STREAMER_RATE_USER_METHOD": "0",
    "HUBBUB_STREAMER_RATE_CONNECTION_METHOD": "0",
    "HUBBUB_STREAMER_RATE_SEND_MESSAGE": "0",
    "HUBBUB_STREAMER_RATE_LOGIN": "0",
    "HUBBUB_STREAMER_MAX_ANONYMOUS_PER_ADDRESS": "0",
    "HUBBUB_STREAMER_HANDSHAKES_PER_SECOND": "100000",
    "HUBBUB_STREAMER_ANONYMOUS_TIMEOUT": "0",
    "HUBBUB_STREAMER_MAX_CONNECTIONS": "100000",
    "HUBBUB_GATEWAY_RATE_LIMIT": "false",
}
"""A thousand clients of one address are a load here and no attack."""


@dataclass(frozen=True, slots=True)
class Broker:
    """A running nats-server."""

    url: str
    monitor: str

    def subscriptions(self, name: str) -> list[str]:
        """Subjects that the clients whose name begins with `name` are subscribed to."""
        url = f"{self.monitor}/connz?subs=1&limit=1024"
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = json.load(answer)
        return [
            subject
            for one in found["connections"]
            if one.get("name", "").startswith(name)
            for subject in one.get("subscriptions_list", ())
        ]


@asynccontextmanager
async def broker(folder: Path, cores: set[int] | None = None) -> AsyncIterator[Broker]:
    """A nats-server with JetStream that can be looked into."""
    port, monitor = free_port(), free_port()
    with on_cores(cores), (folder / "nats.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(str(find_nats_server()), "--addr", "127.0.0.1", "--port", str(port)),
            *("--http_port", str(monitor), "--jetstream", "--store_dir", str(folder / "js")),
            stdout=log,
            stderr=log,
        )
    try:
        await _until(lambda: _listens(port), process, folder / "nats.log", 20)
        yield Broker(f"nats://127.0.0.1:{port}", f"http://127.0.0.1:{monitor}")
    finally:
        await _ended(process)


@asynccontextmanager
async def service(
    name: str, folder: Path, environment: Mapping[str, str], cores: set[int] | None = None
) -> AsyncIterator[int]:
    """One service as `hubbub run` runs it, ready; its process id."""
    ops = free_port()
    with on_cores(cores), (folder / f"{name}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hubbub.cli.main", "run", name),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env={
                **_plain_environment(),
                **_WITHOUT_LIMITS,
                "HUBBUB_OPS_PORT": str(ops),
                **environment,
            },
        )
    try:
        await _until(lambda: _ready(ops), process, folder / f"{name}.log", 30)
        yield process.pid
    finally:
        await _ended(process)


@dataclass(frozen=True, slots=True)
class Hubbub:
    """A whole one."""

    port: int
    pids: Mapping[str, int]
    mongo_url: str
    started_in: float
    """Seconds from the command to ready, on an empty data folder."""
    password: str

    def cpu(self) -> dict[str, float]:
        """CPU seconds of every process so far."""
        return {name: cpu_seconds(pid) for name, pid in self.pids.items()}

    def rss(self) -> dict[str, int]:
        """Resident bytes of every process."""
        return {name: rss_bytes(pid) for name, pid in self.pids.items()}

    def counted(self, service: str, metric: str, **labels: str) -> float:
        """The sum of all samples of a metric of a service that have these labels."""
        environment = Path(f"/proc/{self.pids[service]}/environ").read_text().split("\0")
        port = dict(one.split("=", 1) for one in environment if one)["HUBBUB_OPS_PORT"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            families = text_string_to_metric_families(answer.read().decode())
            return sum(
                sample.value
                for family in families
                for sample in family.samples
                if sample.name == metric and labels.items() <= sample.labels.items()
            )

    def rest(self, path: str, body: Mapping[str, Any], login: Mapping[str, str] | None) -> Any:
        """Call the REST API; `login` as `login` answered."""
        headers = {"Content-Type": "application/json"}
        if login is not None:
            headers |= {"X-Auth-Token": login["authToken"], "X-User-Id": login["userId"]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1/{path}",
            data=json.dumps(body).encode(),
            headers=headers,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)


@asynccontextmanager
async def hubbub(leaving_out: Collection[str] = ()) -> AsyncIterator[Hubbub]:
    """A whole Hubbub as `hubbub up` runs it, in a folder of its own.

    Args:
        leaving_out: services that are not run.
    """
    port, password = free_port(), "correct-horse-battery"
    services = [name for name in installed_services() if name not in leaving_out]
    with tempfile.TemporaryDirectory(prefix="hubbub-bench-") as name:
        folder = Path(name)
        output = folder / "out.log"
        began = time.perf_counter()
        with output.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "hubbub.cli.main", "up"),
                *("--port", str(port), "--data", str(folder / "data")),
                *("--services", ",".join(services)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                env={
                    **_plain_environment(),
                    **_WITHOUT_LIMITS,
                    "HUBBUB_ADMIN_PASSWORD": password,
                },
            )
        try:
            await _until(lambda: _said_ready(output), process, output, READY)
            took = time.perf_counter() - began
            said = output.read_text()
            table = re.findall(r"^  (\S+) +(\d+)  (\S+)$", said, re.MULTILINE)
            pids = {name: int(pid) for name, pid, _ in table} | {"supervisor": process.pid}
            address = {name: at for name, _, at in table}["mongod"]
            yield Hubbub(port, pids, _mongo_url(address), took, password)
        finally:
            await _ended(process)


def _mongo_url(address: str) -> str:
    address = address.removeprefix("mongodb://").partition("/")[0]
    return f"mongodb://{address}/?replicaSet=rs0&directConnection=true"


def _plain_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}


async def _until(ready: Any, process: asyncio.subprocess.Process, log: Path, within: float) -> None:
    """Wait until it is ready. Raises: RuntimeError: it ended or takes too long; with its log."""
    deadline = time.monotonic() + within
    while not await asyncio.to_thread(ready):
        if process.returncode is not None or time.monotonic() > deadline:
            raise RuntimeError(await asyncio.to_thread(_end_of, log))
        await asyncio.sleep(0.02)


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]


def _said_ready(output: Path) -> bool:
    return b"Ctrl-C stops everything" in output.read_bytes().partition(b"Hubbub is ready")[2]


def _ready(ops_port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ops_port}/readyz", timeout=2) as answer:
            status: int = answer.status
            return status == 200
    except OSError:
        return False


def _listens(port: int) -> bool:
    import socket

    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
