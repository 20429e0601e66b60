"""The load generator: a process that opens WebSockets, speaks DDP and counts what arrives.

Written in Go (`main.go`) and built on first use; without Go the same in Python (`plain.py`).
Orders and answers are lines of JSON:

* `open`    `count` connections to `address`, `parallel` of them under way at a time; each runs
            `steps`: sends texts, waits for `count` messages that hold a text. `{name}` in a text
            is replaced by the connection's own value, `names[name][number % length]`
* `script`  all connections run more steps
* `reset`   count from now on the `room-messages` events that hold `mark`; `rest`: so many
            seconds between two looks, which makes reading cheaper and times useless
* `await`   wait until `frames` of them arrived; what arrived (`Count`)
* `talk`    send `count` messages at `rate` per second from `senders`; where the text holds
            `{stamp}` goes the time, by which arrivals are timed; wait for `frames`; `Count`
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from benchmarks.machine import CACHE, on_cores

SOURCE = Path(__file__).with_name("main.go")
_LINE = 16 * 1024 * 1024  # bytes of an answer at most
_GRACE = 30.0  # seconds beyond the order's own limit


class Void(Exception):
    """A run that counts for nothing: something is missing. The text says what."""


@dataclass(frozen=True, slots=True)
class Step:
    """Send texts, then wait for `count` messages that hold `expect`; empty: do not wait."""

    send: Sequence[str]
    expect: str = ""
    count: int = 1

    def to_json(self) -> dict[str, Any]:
        return {"send": list(self.send), "await": self.expect, "count": self.count}


@dataclass(frozen=True, slots=True)
class Count:
    """What arrived since the last reset."""

    frames: int
    bytes: int
    reads: int
    """System calls that brought at least one of them."""
    closed: int
    """Connections that were lost since the beginning."""
    errors: int
    """Method calls that were answered with an error."""
    kinds: Mapping[str, int]
    """`frames:bytes:checksum` of a connection → how many connections have exactly that."""
    latency_ms: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    sending_seconds: float = 0.0
    latest_ms: float = 0.0
    """How far behind its time the latest message was sent."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Count:
        return cls(**answer)


def build() -> list[str]:
    """The command that runs the generator; builds it when Go is there."""
    go = shutil.which("go")
    if go is None:
        return [sys.executable, "-m", "benchmarks.load.plain"]
    target = CACHE / f"load-{sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    if not target.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}")
        subprocess.run(
            [go, "build", "-o", str(partial), str(SOURCE)],
            check=True,
            env={**os.environ, "GO111MODULE": "off", "CGO_ENABLED": "0"},
        )
        partial.replace(target)
    return [str(target)]


class Generator:
    """One running load generator."""

    def __init__(self, *, cores: set[int] | None = None, command: Sequence[str] = ()) -> None:
        self._cores = cores
        self._command = list(command)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def compiled(self) -> bool:
        """Whether it is the fast one."""
        return self._command[0] != sys.executable

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise RuntimeError("the load generator does not run")
        return self._process

    async def __aenter__(self) -> Generator:
        if not self._command:
            self._command = await asyncio.to_thread(build)
        with on_cores(self._cores):
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                limit=_LINE,
            )
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._running
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def open(
        self,
        address: str,
        count: int,
        steps: Sequence[Step] = (),
        *,
        names: Mapping[str, Sequence[str]] | None = None,
        parallel: int = 32,
        within: float = 120.0,
    ) -> float:
        """Open connections, each through its steps; the seconds that it took. Raises: Void."""
        return await self._run("open", steps, names, parallel, within, address, count)

    async def script(
        self,
        steps: Sequence[Step],
        *,
        names: Mapping[str, Sequence[str]] | None = None,
        parallel: int = 32,
        within: float = 120.0,
    ) -> float:
        """Every connection runs `steps`; the seconds that it took. Raises: Void."""
        return await self._run("script", steps, names, parallel, within, "", 0)

    async def reset(self, mark: str, *, rest: float = 0.0) -> None:
        """Count from now on the `room-messages` events that hold `mark`.

        Args:
            rest: seconds between two looks. Every frame is counted, with less CPU, and servers
                are not charged for waking the reader up. Not for timing.
        """
        await self._ask({"order": "reset", "mark": mark, "rest": rest})

    async def wait(self, frames: int, within: float = 20.0) -> Count:
        """Wait for so many; what arrived."""
        return Count.of(
            await self._ask({"order": "await", "frames": frames, "seconds": within}, within)
        )

    async def talk(
        self,
        template: str,
        *,
        senders: Sequence[int],
        names: Mapping[str, Sequence[str]],
        rate: float,
        count: int,
        frames: int,
        within: float = 30.0,
    ) -> Count:
        """Send messages and wait until `frames` arrived in all; what arrived."""
        order = {
            "order": "talk",
            "template": template,
            "senders": list(senders),
            "names": _listed(names),
            "rate": rate,
            "count": count,
            "frames": frames,
            "seconds": within,
        }
        return Count.of(await self._ask(order, count / rate + within))

    async def _run(
        self,
        name: str,
        steps: Sequence[Step],
        names: Mapping[str, Sequence[str]] | None,
        parallel: int,
        within: float,
        address: str,
        count: int,
    ) -> float:
        answer = await self._ask(
            {
                "order": name,
                "address": address,
                "count": count,
                "steps": [step.to_json() for step in steps],
                "names": _listed(names or {}),
                "parallel": parallel,
                "seconds": within,
            },
            within,
        )
        if not answer["complete"]:
            raise Void(
                f"{name}: {answer['failed']} connections failed, {answer['connections']} are there,"
                f" after {answer['seconds']:.1f} s; {answer['failures']}"
            )
        seconds: float = answer["seconds"]
        return seconds

    async def _ask(self, order: Mapping[str, Any], within: float = 0.0) -> dict[str, Any]:
        process = self._running
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the load generator has no pipes")
        process.stdin.write(json.dumps(order).encode() + b"\n")
        async with asyncio.timeout(within + _GRACE):
            line = await process.stdout.readline()
        if not line:
            raise Void("the load generator ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _listed(names: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    return {name: list(values) for name, values in names.items()}
