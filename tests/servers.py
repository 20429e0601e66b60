"""Where the servers of the tests come from: running ones, containers, or embedded programs."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from hubbub.local import servers as embedded

_PREFIX = "hubbub-test-"
_START = 90.0  # seconds

HISTORY = 10  # seconds
"""How long the past stays readable in MongoDB. Each test has a database and drops it; with the
usual five minutes the files of all of them would be more than a process may have open."""


@contextmanager
def nats() -> Iterator[str]:
    """The URL of a NATS server with JetStream."""
    running = os.environ.get("HUBBUB_NATS_URL")
    if running:
        yield running
    elif _use_containers():
        from tests import containers

        with containers.nats() as url:
            yield url
    else:
        with _embedded(lambda folder: embedded.nats(folder, death=signal.SIGKILL)) as url:
            yield url


@contextmanager
def mongo() -> Iterator[str]:
    """The URL of a MongoDB replica set."""
    running = os.environ.get("HUBBUB_MONGO_URL")
    if running:
        yield running
    elif _use_containers():
        from tests import containers

        with containers.mongo(HISTORY) as url:
            yield url
    else:
        with _embedded(
            lambda folder: embedded.mongo(folder, death=signal.SIGKILL, history=HISTORY)
        ) as url:
            yield url


@cache
def _use_containers() -> bool:
    wanted = os.environ.get("HUBBUB_TEST_SERVERS", "")
    if wanted not in {"", "containers", "embedded"}:
        raise ValueError(f"HUBBUB_TEST_SERVERS={wanted!r}: expected containers or embedded")
    return wanted == "containers" or (wanted == "" and _engine_has_images())


def _engine_has_images() -> bool:
    """Whether a container engine answers and has what would be started: asked for nothing but
    tests, it is not made to download."""
    from tests import containers

    return all(_engine_answers(f"/images/{name}/json") for name in containers.images())


def _engine_answers(path: str) -> bool:
    """Whether a container engine says OK where Docker's own tools would look for it."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    scheme, _, place = host.partition("://")
    try:
        with _engine_socket(scheme, place) as engine:
            engine.sendall(f"GET {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
            return b" 200 " in engine.recv(4096).split(b"\r\n")[0]
    except (OSError, ValueError):
        return False


def _engine_socket(scheme: str, place: str) -> socket.socket:
    if scheme == "unix":
        engine = socket.socket(socket.AF_UNIX)
        engine.settimeout(3.0)
        try:
            engine.connect(place)
        except OSError:
            engine.close()
            raise
        return engine
    name, _, port = place.rstrip("/").rpartition(":")
    return socket.create_connection((name, int(port)), timeout=3.0)


@contextmanager
def _embedded(
    start: Callable[[Path], AbstractAsyncContextManager[embedded.Server]],
) -> Iterator[str]:
    """Run an embedded server from plain code: its event loop lives in a thread of its own.

    The kernel ends the server when the *thread* that started it ends, so the thread stays
    for the whole session; kill -9 of the test run ends it too.
    """
    with _folder() as folder:
        outcome: dict[str, Any] = {}
        ready = threading.Event()

        async def live() -> None:
            stop = outcome["stop"] = asyncio.Event()
            outcome["loop"] = asyncio.get_running_loop()
            async with start(folder) as server:
                outcome["url"] = server.url
                ready.set()
                await stop.wait()

        def run() -> None:
            try:
                asyncio.run(live())
            except BaseException as error:  # handed to the session, which raises it
                outcome["error"] = error
            finally:
                ready.set()

        thread = threading.Thread(target=run, name="test-server", daemon=True)
        thread.start()
        try:
            if not ready.wait(_START):
                raise TimeoutError(f"no test server within {_START:g} s")
            if "error" in outcome:
                raise outcome["error"]
            yield outcome["url"]
        finally:
            if "url" in outcome:
                outcome["loop"].call_soon_threadsafe(outcome["stop"].set)
            thread.join(20)


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that is removed afterwards; those of killed test runs are removed first.

    A run holds a lock on its folder as long as it lives, so that a folder without a lock
    is known to have no owner.
    """
    root = Path(tempfile.gettempdir())
    for old in root.glob(f"{_PREFIX}*"):
        with suppress(OSError), (old / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
