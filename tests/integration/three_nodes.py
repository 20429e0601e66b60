"""A replica set of three local mongods, one of which a test may kill or freeze."""

from __future__ import annotations

import asyncio
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import PyMongoError

from hubbub.local.programs import find_mongod, free_port, start_guarded, stop
from tests.waiting import eventually

HOST = "127.0.0.1"
NAME = "three"
START = 60.0  # seconds
_SETTINGS = {"electionTimeoutMillis": 2_000, "heartbeatIntervalMillis": 500}


@dataclass
class Nodes:
    """The members, by their addresses."""

    processes: dict[str, Process]

    @property
    def url(self) -> str:
        """Names all of them; add options behind it."""
        return f"mongodb://{','.join(self.processes)}/?replicaSet={NAME}"

    async def primary(self, *, besides: str = "") -> str:
        """The address of the member that takes writes, once there is one."""

        async def asked() -> str:
            found = await asyncio.gather(*(_writable(one) for one in self.processes))
            taking = [one for one in found if one and one != besides]
            return taking[0] if len(taking) == 1 else ""

        return await eventually(asked, within=START, what="a primary")

    def freeze(self, address: str) -> None:
        """As a virtual machine that is paused."""
        self.processes[address].send_signal(signal.SIGSTOP)

    def thaw(self, address: str) -> None:
        self.processes[address].send_signal(signal.SIGCONT)

    def kill(self, address: str) -> None:
        """As by a power cut."""
        self.processes[address].kill()


@asynccontextmanager
async def three_nodes(folder: Path) -> AsyncIterator[Nodes]:
    """Started, initiated, with a primary. Raises: CannotStart: there is no mongod."""
    program = find_mongod()
    async with AsyncExitStack() as stack:
        processes: dict[str, Process] = {}
        for number in range(3):
            data = folder / f"node-{number}"
            data.mkdir()
            port = free_port(HOST)
            with (folder / f"node-{number}.log").open("wb") as output:
                process = await start_guarded(
                    [
                        *(str(program), "--replSet", NAME, "--bind_ip", HOST),
                        *("--port", str(port), "--dbpath", str(data), "--nounixsocket"),
                        *("--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "256"),
                        *("--setParameter", "diagnosticDataCollectionEnabled=false"),
                    ],
                    output=output,
                    death=signal.SIGKILL,
                )
            stack.push_async_callback(_ended, process)
            processes[f"{HOST}:{port}"] = process
        nodes = Nodes(processes)
        await _initiate(list(processes))
        await nodes.primary()
        yield nodes


async def _ended(process: Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGCONT)  # it may be frozen
        process.kill()  # what it holds is thrown away
    await stop(process, within=5.0)


async def _initiate(addresses: list[str]) -> None:
    members = [{"_id": number, "host": address} for number, address in enumerate(addresses)]
    configuration = {"_id": NAME, "members": members, "settings": _SETTINGS}

    async def initiated() -> bool:
        try:
            async with _direct(addresses[0]) as client:
                await client.admin.command("replSetInitiate", configuration)
        except PyMongoError:  # not all of them listen yet
            return False
        return True

    await eventually(initiated, within=START, what="the replica set is initiated")


async def _writable(address: str) -> str:
    """The address if this member says that it is the primary, else nothing."""
    try:
        async with _direct(address) as client:
            hello = await client.admin.command("hello")
    except PyMongoError:
        return ""
    return address if hello["isWritablePrimary"] else ""


def _direct(address: str) -> AsyncMongoClient[dict[str, Any]]:
    return AsyncMongoClient(
        f"mongodb://{address}/?directConnection=true",
        serverSelectionTimeoutMS=500,
        connectTimeoutMS=500,
        socketTimeoutMS=2_000,
    )
