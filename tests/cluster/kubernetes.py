"""One namespace of a cluster: `kubectl` and `helm` as people use them, and the API to look.

Looking is done through one `kubectl proxy`, which costs far less than a process per look.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

Document = dict[str, Any]

_LOOK_WITHIN = aiohttp.ClientTimeout(total=20)
_FORWARDED = re.compile(rb"Forwarding from 127\.0\.0\.1:(\d+)")
_SERVED = re.compile(r"Starting to serve on 127\.0\.0\.1:(\d+)")


class CommandFailed(Exception):
    """A command ended with an error; the text is what it said."""


@contextmanager
def api_proxy() -> Iterator[str]:
    """The address of the API server, for whoever is on this machine, while the context lasts."""
    with subprocess.Popen(
        ["kubectl", "proxy", "--port=0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = _SERVED.search(line)
            if found is None:
                raise CommandFailed(f"kubectl proxy: {line}")
            yield f"http://127.0.0.1:{found[1]}"
        finally:
            process.terminate()


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace, which the tests made."""

    name: str
    api: str
    """Address of the proxy."""

    async def kubectl(self, *arguments: str, within: float = 60.0) -> str:
        """What `kubectl` prints, in this namespace. Raises: CommandFailed."""
        return await run("kubectl", "--namespace", self.name, *arguments, within=within)

    async def helm(self, *arguments: str, within: float = 300.0) -> str:
        """What `helm` prints, in this namespace. Raises: CommandFailed."""
        return await run("helm", "--namespace", self.name, *arguments, within=within)

    async def get(self, path: str, **query: str) -> Document | None:
        """An object or list by its path below the API; None when there is none."""
        async with (
            aiohttp.ClientSession(timeout=_LOOK_WITHIN) as session,
            session.get(self.api + path, params=query) as answer,
        ):
            if answer.status == 404:
                return None
            body: Document = await answer.json()
            if answer.status != 200:
                raise CommandFailed(f"{path}: {answer.status} {body}")
            return body

    async def text(self, path: str) -> str:
        """A text by its path below the API. Raises: CommandFailed."""
        async with (
            aiohttp.ClientSession(timeout=_LOOK_WITHIN) as session,
            session.get(self.api + path) as answer,
        ):
            text = await answer.text()
            if answer.status != 200:
                raise CommandFailed(f"{path}: {answer.status} {text}")
            return text

    async def items(self, group: str, kind: str, **query: str) -> list[Document]:
        """All objects of a kind here, `group` as in `apps/v1` or `v1`."""
        found = await self.get(f"{self.path(group)}/{kind}", **query)
        items: list[Document] = [] if found is None else found["items"]
        return items

    async def object(self, group: str, kind: str, name: str) -> Document | None:
        """One object here."""
        return await self.get(f"{self.path(group)}/{kind}/{name}")

    def path(self, group: str) -> str:
        """Where objects of this namespace are, below the API."""
        root = f"/apis/{group}" if "/" in group else f"/api/{group}"
        return f"{root}/namespaces/{self.name}"

    @asynccontextmanager
    async def forwarded(self, pod: str, port: int) -> AsyncIterator[int]:
        """A port of this machine that leads to exactly this pod."""
        process = await asyncio.create_subprocess_exec(
            *("kubectl", "--namespace", self.name),
            *("port-forward", "--address", "127.0.0.1", f"pod/{pod}", f":{port}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert process.stdout is not None
        quiet: asyncio.Task[bytes] | None = None
        try:
            async with asyncio.timeout(30):
                line = await process.stdout.readline()
            found = _FORWARDED.search(line)
            if found is None:
                raise CommandFailed(f"kubectl port-forward {pod}: {line!r}")
            # It tells of every connection, and would wait for somebody to read that.
            quiet = asyncio.create_task(process.stdout.read(), name="port-forward")
            yield int(found[1])
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            if quiet is not None:
                await quiet


async def run(*command: str, within: float = 60.0) -> str:
    """What a command prints. Raises: CommandFailed."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(within):
            out, err = await process.communicate()
    except TimeoutError:
        raise CommandFailed(f"{' '.join(command)}: not within {within:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise CommandFailed(f"{' '.join(command)}: {err.decode(errors='replace')}")
    return out.decode(errors="replace")
