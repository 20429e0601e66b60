"""The embedded servers: a real mongod as a replica set of one, a real nats-server with JetStream.

    async with nats(folder) as url, mongo(folder / "mongo") as mongo_url: ...

They listen on 127.0.0.1 only, keep their data in the folder they are given, and end with the
process that started them, however that ends.
"""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from hubbub.local import replica_set
from hubbub.local.programs import (
    CannotStart,
    find_mongod,
    find_nats_server,
    free_port,
    start_guarded,
    stop,
)

HOST = "127.0.0.1"
START_DEADLINE = 60.0  # seconds; a first start on a slow disk writes its files
STOP_DEADLINE = 5.0  # seconds until a server that does not end is killed
_HISTORY = 15  # seconds; the hub reads what roles were just before they changed
_TRANSACTION_LIFETIME = 4  # seconds; MongoDB looks every half of it
_POLL_INTERVAL = 0.05  # seconds
_ATTEMPTS = 5  # ports tried, should somebody take the free one before the server does
_LOG_TAIL = 5  # lines of a log that an error repeats
_IN_USE = re.compile(r"address already in use", re.IGNORECASE)


@dataclass(slots=True)
class Server:
    """One embedded server that answers."""

    name: str
    url: str
    port: int
    log_file: Path
    process: asyncio.subprocess.Process
    _start: Callable[[int], Awaitable[tuple[int, asyncio.subprocess.Process]]]

    async def start_again(self) -> None:
        """Start a server that died, on the port that everybody knows.

        Raises:
            CannotStart: it ended again, or somebody else has its port by now.
        """
        _, self.process = await self._start(self.port)


@asynccontextmanager
async def mongo(
    folder: Path,
    *,
    log_file: Path | None = None,
    port: int = 0,
    cache_megabytes: int = 256,
    history: int | None = None,
    key_file: Path | None = None,
    death: signal.Signals = signal.SIGTERM,
) -> AsyncIterator[Server]:
    """A replica set of one member with its data in `folder`.

    `port` 0 lets the system choose. The folder may have been used with another port before.
    `history` is how many seconds of the past stay readable; MongoDB's own default is 300. For
    that long, collections that are dropped keep their files open, too.
    With a `key_file` (MongoDB's `--keyFile`) everybody has to sign in; the set and its first user
    have to be there from a start without.

    Raises:
        CannotStart: there is no such program, or it ended; names its log file.
    """
    program = find_mongod()
    data = _folder(folder / "data")
    written = log_file or folder / "mongod.log"
    window = f"minSnapshotHistoryWindowInSeconds={history}"
    past = [] if history is None else ["--setParameter", window]
    guarded = [] if key_file is None else ["--keyFile", str(key_file)]

    def command(chosen: int) -> list[str]:
        return [
            str(program),
            "--replSet", replica_set.NAME,
            "--bind_ip", HOST,
            "--port", str(chosen),
            "--dbpath", str(data),
            "--nounixsocket",
            "--noscripting",  # no query of Hubbub runs JavaScript in the server
            "--wiredTigerCacheSizeGB", str(cache_megabytes / 1024),
            "--oplogSize", "1024",
            "--setParameter", "diagnosticDataCollectionEnabled=false",
            # What a killed process has begun holds its locks until then; no transaction of ours
            # takes so long. MongoDB's own limit is a minute.
            "--setParameter", f"transactionLifetimeLimitSeconds={_TRANSACTION_LIFETIME}",
            # With nobody to take over, waiting before a shutdown serves nobody.
            "--setParameter", "shutdownTimeoutMillisForSignaledShutdown=100",
            *past,
            *guarded,
        ]  # fmt: skip

    def url(chosen: int) -> str:
        return f"mongodb://{HOST}:{chosen}/hubbub?replicaSet={replica_set.NAME}"

    async with _running(
        "mongod", command, url, _becomes_primary, port=port, log_file=written, death=death
    ) as server:
        yield server


@asynccontextmanager
async def nats(
    folder: Path,
    *,
    log_file: Path | None = None,
    port: int = 0,
    configuration: Path | None = None,
    death: signal.Signals = signal.SIGTERM,
) -> AsyncIterator[Server]:
    """A NATS server with JetStream, its store in `folder`.

    `configuration` is a file that says who may do what; without it everybody may do everything.

    Raises:
        CannotStart: there is no such program, or it ended; names its log file.
    """
    program = find_nats_server()
    store = _folder(folder / "jetstream")
    written = log_file or folder / "nats-server.log"
    configured = [] if configuration is None else ["--config", str(configuration)]

    def command(chosen: int) -> list[str]:
        return [
            str(program),
            *configured,
            "--addr", HOST,
            "--port", str(chosen),
            "--jetstream",
            "--store_dir", str(store),
            "--name", "hubbub-local",
        ]  # fmt: skip

    def url(chosen: int) -> str:
        return f"nats://{HOST}:{chosen}"

    async with _running(
        "nats-server", command, url, _greets, port=port, log_file=written, death=death
    ) as server:
        yield server


@asynccontextmanager
async def _running(
    name: str,
    command: Callable[[int], list[str]],
    url: Callable[[int], str],
    answers: Callable[[int], Awaitable[None]],
    *,
    port: int,
    log_file: Path,
    death: signal.Signals,
) -> AsyncIterator[Server]:
    _folder(log_file.parent)

    async def start(wanted: int) -> tuple[int, asyncio.subprocess.Process]:
        return await _started(name, command, answers, wanted, log_file, death)

    chosen, process = await start(port)
    server = Server(name, url(chosen), chosen, log_file, process, start)
    try:
        yield server
    finally:
        await stop(server.process, within=STOP_DEADLINE)


async def _started(
    name: str,
    command: Callable[[int], list[str]],
    answers: Callable[[int], Awaitable[None]],
    port: int,
    log_file: Path,
    death: signal.Signals,
) -> tuple[int, asyncio.subprocess.Process]:
    """Start the program and wait until it answers.

    A free port may be taken by somebody else before the program gets it; then the next one
    is tried.
    """
    attempts = 1 if port else _ATTEMPTS
    while True:
        attempts -= 1
        chosen = port or free_port(HOST)
        with log_file.open("ab") as output:
            written_before = output.tell()
            process = await start_guarded(command(chosen), output=output, death=death)
        try:
            await _answering(process, answers(chosen))
        except CannotStart as error:
            await stop(process, within=1.0)
            written = _written(log_file, written_before)
            if _IN_USE.search(written):
                if attempts:
                    continue
                raise CannotStart(
                    f"{name} cannot start: port {chosen} of {HOST} is taken by another program"
                ) from None
            raise CannotStart(f"{name} {error}; its log is {log_file}{_tail(written)}") from None
        except BaseException:
            await stop(process, within=STOP_DEADLINE)
            raise
        return chosen, process


async def _answering(process: asyncio.subprocess.Process, answer: Awaitable[None]) -> None:
    """Wait for `answer`. Raises: CannotStart: the program ended, or takes too long."""
    ready = asyncio.ensure_future(answer)
    ended = asyncio.ensure_future(process.wait())
    try:
        await asyncio.wait(
            {ready, ended}, timeout=START_DEADLINE, return_when=asyncio.FIRST_COMPLETED
        )
        if ready.done():
            ready.result()
        elif ended.done():
            raise CannotStart(f"ended at its start with status {ended.result()}")
        else:
            raise CannotStart(f"did not answer within {START_DEADLINE:g} seconds")
    finally:
        for task in (ready, ended):
            task.cancel()
        await asyncio.gather(ready, ended, return_exceptions=True)


async def _greets(port: int) -> None:
    """Return once a NATS server says its first line."""
    while True:
        try:
            reader, writer = await asyncio.open_connection(HOST, port)
        except OSError:
            await asyncio.sleep(_POLL_INTERVAL)
            continue
        try:
            if (await reader.readline()).startswith(b"INFO "):
                return
        finally:
            writer.close()


async def _becomes_primary(port: int) -> None:
    await replica_set.make_primary(f"{HOST}:{port}")


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CannotStart(f"the folder {path} cannot be made: {error.strerror}") from None
    return path


def _written(log_file: Path, since: int) -> str:
    with log_file.open("rb") as log:
        log.seek(since)
        return log.read().decode(errors="replace")


def _tail(written: str) -> str:
    lines = written.strip().splitlines()[-_LOG_TAIL:]
    return "".join(f"\n    {line[:300]}" for line in lines)
