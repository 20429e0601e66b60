"""What Hubbub is compared with: built or installed on first use into a cache folder.

A peer that cannot be had on this machine raises `Missing`; its comparisons are left out and the
result says so.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from benchmarks.machine import CACHE, on_cores

FOLDER = Path(__file__).parent
_START = 30.0  # seconds
_INSTALL = 180.0  # seconds


class Missing(Exception):
    """A peer cannot be had here; the text says why."""


def send_loop(port: int) -> list[str]:
    """The C loop of `send()`. Raises: Missing."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise Missing("no C compiler for the loop of send()")
    source = FOLDER / "send_loop.c"
    target = CACHE / f"send-loop-{sha256(source.read_bytes()).hexdigest()[:16]}"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        subprocess.run([compiler, "-O2", "-o", str(partial), str(source)], check=True)
        partial.replace(target)
    return [str(target), str(port)]


def node_ws(port: int, manner: str) -> list[str]:
    """Node's `ws`, `prebuilt` or `send`. Raises: Missing."""
    return [*_node("fanout_ws.js"), str(port), manner]


def moleculer(role: str, url: str) -> list[str]:
    """Moleculer over NATS, as `answer` or `call`. Raises: Missing."""
    return [*_node("rpc_moleculer.js"), role, url]


def node_versions() -> dict[str, str]:
    """Versions of the installed Node packages that are compared with."""
    wanted: dict[str, str] = json.loads((FOLDER / "package.json").read_text())["dependencies"]
    return wanted


def _node(script: str) -> list[str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise Missing("no Node for its peers")
    manifest = (FOLDER / "package.json").read_bytes()
    folder = CACHE / f"node-{sha256(manifest).hexdigest()[:16]}"
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_bytes(manifest)
        command = [npm, "install", "--no-fund", "--no-audit", "--ignore-scripts"]
        try:
            done = subprocess.run(
                command, cwd=folder, capture_output=True, text=True, timeout=_INSTALL, check=False
            )
        except subprocess.TimeoutExpired:
            raise Missing("npm did not install the peers in time") from None
        if done.returncode != 0:
            raise Missing(f"npm cannot install the peers: {done.stderr.strip()[-300:]}")
        (folder / "complete").touch()
    # Node looks for packages beside the script.
    shutil.copyfile(FOLDER / script, folder / script)
    return [node, str(folder / script)]


class Peer:
    """A running peer: takes a line, answers with a line."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    async def ask(self, line: str, within: float) -> str:
        """Its answer. Raises: RuntimeError: it ended."""
        if self._process.stdin is None:
            raise RuntimeError("the peer has no input")
        self._process.stdin.write(line.encode() + b"\n")
        return await self.line(within)

    async def line(self, within: float) -> str:
        """The next line that it prints. Raises: RuntimeError: it ended."""
        if self._process.stdout is None:
            raise RuntimeError("the peer has no output")
        async with asyncio.timeout(within):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError("a peer ended")
        return line.decode().strip()


@asynccontextmanager
async def running(command: Sequence[str], cores: set[int] | None = None) -> AsyncIterator[Peer]:
    """A peer that said that it is ready; its input's end ends it."""
    with on_cores(cores):
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
    try:
        peer = Peer(process)
        while await peer.line(_START) != "ready":
            pass
        yield peer
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
