"""Three mongods as one replica set that elects within seconds."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import ConnectionFailure, OperationFailure, PyMongoError

from hubbub.local.programs import find_mongod
from tests.chaos.programs import Program
from tests.waiting import eventually

Document = dict[str, Any]

NAME = "chaos"
HOST = "127.0.0.1"
START = 60.0  # seconds
_DISK = 30.0  # seconds
_ASK = 2000  # milliseconds
_PRIMARY, _SECONDARY = 1, 2


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """What a fault may need another way."""

    oplog_megabytes: int = 256
    cache_gigabytes: float = 0.25
    election_timeout: int = 2000
    """Milliseconds without a primary's heartbeat until the others elect."""
    heartbeat: int = 250
    """Milliseconds. Commits take as long as that while a former primary stands still."""
    sync_delay: int = 60
    """Seconds between two checkpoints on disk; the oplog is shortened with them."""
    small_disk: int = 0
    """Megabytes of a disk of its own that `mongo-1` keeps its data on; 0: it has none. Only root
    may make one."""


class ReplicaSet:
    """`mongo-1` to `mongo-3`."""

    def __init__(
        self,
        folder: Path,
        logs: Path,
        free: Iterator[int],
        options: DatabaseOptions,
        *,
        through: Iterator[int] | None = None,
    ) -> None:
        """
        Args:
            through: ports of the lines under which the members are known to everybody, each
                other included; None: their own ports.
        """
        self._options = options
        self._folder = folder
        self._mounted = False
        self.ports = [next(free) for _ in range(3)]
        known = self.ports if through is None else [next(through) for _ in range(3)]
        self._addresses = [f"{HOST}:{port}" for port in known]
        self.members = [
            Program(f"mongo-{number}", self._command(number, port), logs / f"mongo-{number}.log")
            for number, port in enumerate(self.ports, start=1)
        ]
        self.url = f"mongodb://{','.join(self._addresses)}/hubbub?replicaSet={NAME}"

    def start(self) -> None:
        """Start all members; `settle` makes them a set."""
        for number, member in enumerate(self.members, start=1):
            self.data(number).mkdir(parents=True, exist_ok=True)
            if number == 1 and self._options.small_disk:
                size = f"size={self._options.small_disk}m"
                disk = ["mount", "-t", "tmpfs", "-o", size, "hubbub-drill", str(self.data(1))]
                subprocess.run(disk, check=True, timeout=_DISK)
                self._mounted = True
            member.start()

    def end(self) -> None:
        """Delete all data, and give the small disk back; the members have ended."""
        if self._mounted:
            subprocess.run(["umount", str(self.data(1))], check=True, timeout=_DISK)
            self._mounted = False
        if self._folder.exists():
            shutil.rmtree(self._folder)

    async def step_up(self, number: int) -> None:
        """Make a member the primary. It may have to ask for it more than once."""

        async def elected() -> bool:
            with suppress(PyMongoError):
                async with self._direct(self.ports[number - 1]) as client:
                    await client.admin.command("replSetStepUp")
            return await self._primary() is self.members[number - 1]

        what = f"{self.members[number - 1].name} is primary"
        await eventually(elected, within=START, what=what)

    async def found(self) -> None:
        """Make them a set, once; return when there is a primary and two secondaries."""
        configuration = {
            "_id": NAME,
            "members": [
                {"_id": number, "host": address} for number, address in enumerate(self._addresses)
            ],
            "settings": {
                "electionTimeoutMillis": self._options.election_timeout,
                "heartbeatIntervalMillis": self._options.heartbeat,
            },
        }

        async def initiated() -> bool:
            with suppress(ConnectionFailure, OperationFailure):  # they may still be starting
                async with self._direct(self.ports[0]) as client:
                    await client.admin.command("replSetInitiate", configuration)
                    return True
            return False

        await eventually(initiated, within=START, what="the replica set is initiated")
        await eventually(self.is_whole, within=START, what="the replica set is whole")

    async def is_whole(self) -> bool:
        """Whether there is one primary and two secondaries that follow it."""
        try:
            async with self.client() as client:
                status = await client.admin.command("replSetGetStatus")
        except PyMongoError:
            return False
        members = status["members"]
        states = sorted(member["state"] for member in members)
        if states != [_PRIMARY, _SECONDARY, _SECONDARY]:
            return False
        newest = max(member["optimeDate"] for member in members)
        return all((newest - member["optimeDate"]).total_seconds() < 5 for member in members)

    async def primary(self, *, within: float = 30.0) -> Program:
        """The member that is primary now."""
        return await eventually(self._primary, within=within, what="there is a primary")

    async def secondaries(self) -> list[Program]:
        """The other two."""
        primary = await self.primary()
        return [member for member in self.members if member is not primary]

    async def step_down(self, *, seconds: int = 10) -> None:
        """Ask the primary to make room for another one, as an upgrade does."""
        async with self.client() as client:
            with suppress(ConnectionFailure):  # it may cut its connections
                await client.admin.command(
                    {"replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": 5}
                )

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncMongoClient[Document]]:
        """A client of the whole set that reads from the primary what a majority has."""
        async with AsyncMongoClient[Document](
            self.url, serverSelectionTimeoutMS=_ASK, readConcernLevel="majority", tz_aware=True
        ) as client:
            yield client

    @asynccontextmanager
    async def database(self) -> AsyncIterator[AsyncDatabase[Document]]:
        """The database of Hubbub."""
        async with self.client() as client:
            yield client.get_default_database()

    async def _primary(self) -> Program | None:
        for member, port in zip(self.members, self.ports, strict=True):
            if not member.lives or member.frozen:
                continue
            with suppress(PyMongoError):
                async with self._direct(port) as client:
                    hello = await client.admin.command("hello")
                    if hello.get("isWritablePrimary"):
                        return member
        return None

    def _direct(self, port: int) -> AsyncMongoClient[Document]:
        url = f"mongodb://{HOST}:{port}/?directConnection=true"
        return AsyncMongoClient(
            url, serverSelectionTimeoutMS=_ASK, connectTimeoutMS=_ASK, socketTimeoutMS=_ASK * 5
        )

    def data(self, number: int) -> Path:
        """The folder of a member's data."""
        return self._folder / f"mongo-{number}"

    def _command(self, number: int, port: int) -> list[str]:
        return [
            str(find_mongod()),
            "--replSet", NAME,
            "--bind_ip", HOST,
            "--port", str(port),
            "--dbpath", str(self.data(number)),
            "--nounixsocket",
            "--noscripting",
            "--wiredTigerCacheSizeGB", str(self._options.cache_gigabytes),
            "--oplogSize", str(self._options.oplog_megabytes),
            "--syncdelay", str(self._options.sync_delay),
            "--setParameter", "diagnosticDataCollectionEnabled=false",
            # As operators of Hubbub are told: what a dead process has begun holds its locks
            # until then.
            "--setParameter", "transactionLifetimeLimitSeconds=4",
            # And a secondary that follows a frozen primary leaves it sooner.
            "--setParameter", "oplogNetworkTimeoutBufferSeconds=1",
            "--setParameter", "oplogRetriedFindMaxSeconds=1",
        ]  # fmt: skip
