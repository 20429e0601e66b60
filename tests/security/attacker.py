"""Somebody who tries every call, by every door, and writes down what came back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from tests.conformance.ddp import Ddp
from tests.conformance.rest import User
from tests.security.calls import EndpointCall, MethodCall

_AT_ONCE: Final = 8


@dataclass(frozen=True)
class Said:
    """An answer."""

    call: str
    door: str
    code: Any
    """Of the refusal; None: it was granted."""
    text: str
    """All of it."""

    def __str__(self) -> str:
        return f"{self.call} ({self.door}): {self.code} {self.text[:300]}"


class Attacker:
    """A caller, signed in or not."""

    def __init__(self, session: aiohttp.ClientSession, url: str, user: User | None) -> None:
        self.session = session
        self.url = url
        self.user = user

    @property
    def _headers(self) -> dict[str, str]:
        return self.user.headers if self.user else {}

    async def methods(self, calls: Iterable[MethodCall]) -> list[Said]:
        """By REST's `method.call`."""
        return await _all(calls, self.method)

    async def endpoints(self, calls: Iterable[EndpointCall]) -> list[Said]:
        return await _all(calls, self.endpoint)

    async def method(self, call: MethodCall) -> Said:
        envelope = {"msg": "method", "id": "1", "method": call.name, "params": call.params}
        door = "method.call" if self.user else "method.callAnon"
        async with self.session.post(
            f"{self.url}/api/v1/{door}/x",
            json={"message": json.dumps(envelope)},
            headers=self._headers,
        ) as answer:
            body = await answer.json()
        assert body["success"], body
        return _result(call.name, door, json.loads(body["message"]))

    async def endpoint(self, call: EndpointCall) -> Said:
        in_query = call.verb in ("GET", "DELETE")
        async with self.session.request(
            call.verb,
            self.url + call.path,
            params={name: _in_query(value) for name, value in call.values.items()}
            if in_query
            else None,
            json=None if in_query else call.values,
            headers=self._headers,
        ) as answer:
            raw = (await answer.read()).decode("utf-8", "replace")
            return Said(call.label, "REST", _code(answer, raw), raw)


async def over_socket(client: Ddp, calls: Iterable[MethodCall]) -> list[Said]:
    """The same over a socket, one after the other."""
    said = []
    for call in calls:
        call_id = client.next_id()
        await client.send(
            {"msg": "method", "id": call_id, "method": call.name, "params": call.params}
        )
        said.append(_result(call.name, "socket", await client.answer(call_id)))
    return said


async def _all(calls: Iterable[Any], ask: Callable[[Any], Any]) -> list[Said]:
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(call: Any) -> Said:
        async with places:
            said: Said = await ask(call)
            return said

    return list(await asyncio.gather(*(one(call) for call in calls)))


def _result(name: str, door: str, frame: dict[str, Any]) -> Said:
    code = frame["error"]["error"] if "error" in frame else None
    return Said(name, door, code, json.dumps(frame, ensure_ascii=False))


def _code(answer: aiohttp.ClientResponse, raw: str) -> Any:
    if answer.status < 300:
        return None
    if answer.content_type != "application/json":
        return answer.status
    return json.loads(raw).get("errorType", answer.status)


def _in_query(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value)
