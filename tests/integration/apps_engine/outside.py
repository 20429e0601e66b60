"""A server outside, which remembers what it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import web

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@dataclass
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


@dataclass
class Outside:
    """Answers by `answers`, one after the other; the last one stays."""

    port: int = 0
    received: list[Received] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def will(self, *answers: Answer) -> None:
        self.answers = list(answers)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.received.append(Received(request.method, request.path_qs, dict(request.headers), body))
        if not self.answers:
            return web.Response(status=200)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request)


def status(code: int, **headers: str) -> Answer:
    """An empty answer."""

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=code, headers=headers)

    return answer


def saying(body: Any, code: int = 200) -> Answer:
    """An answer with JSON, or with bytes as they are."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=code, body=raw, content_type="application/json")

    return answer


def to(location: str, code: int = 302) -> Answer:
    """A redirect."""
    return status(code, Location=location)


async def never(_: web.BaseRequest) -> web.StreamResponse:
    """No answer, as long as somebody waits for it."""
    await asyncio.sleep(3600)
    return web.Response()


async def endless(request: web.BaseRequest) -> web.StreamResponse:
    """An answer without an end, with a length that lies about nothing: it has none."""
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65_536)


@asynccontextmanager
async def outside(host: str = "127.0.0.1") -> AsyncIterator[Outside]:
    """A server on a port of its own."""
    found = Outside()
    runner = web.ServerRunner(web.Server(found.handle), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, 0).start()
        found.port = int(runner.addresses[0][1])
        yield found
    finally:
        await runner.cleanup()
