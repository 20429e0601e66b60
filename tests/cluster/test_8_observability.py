"""Every panel and every alert, asked of a real Prometheus while people talk."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from tests.cluster.expressions import Expression, all_expressions, selectors
from tests.cluster.load import Doors, load
from tests.cluster.pools import with_operator
from tests.cluster.release import Release
from tests.cluster.report import Answer, Report
from tests.cluster.target import Target
from tests.conformance.rest import Rest, User
from tests.e2e.resilience.line import Failed, opened

TALK = 75.0  # seconds: rates over a minute need that
OF_NATS = "gnatsd_"
"""What the exporter beside a NATS server tells."""
OF_GATEWAYS = "gnatsd_gatewayz_"
"""The same of the ways to other clusters, of which there is one only."""
OF_OTHERS = ("mongodb_", "nats_", OF_GATEWAYS)
"""What exporters tell that the chart does not bring, and what there is none of here."""
_WITHIN = aiohttp.ClientTimeout(total=30)


async def test_every_expression_is_answered(
    release: Release,
    doors: Doors,
    people: Sequence[User],
    target: Target,
    report: Report,
) -> None:
    """None is refused, and what has no data is told with the reason."""
    if not target.prometheus:
        pytest.skip("HUBBUB_CLUSTER_PROMETHEUS names no Prometheus")
    expressions = all_expressions(release.namespace.name)
    assert any(one.is_alert for one in expressions)
    assert any(not one.is_alert for one in expressions)
    await with_operator(release, managed=False)
    await release.scaled(2)
    async with load(doors, people) as talk:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_live(doors, people))
            tasks.create_task(talk.lasts(TALK))
        async with aiohttp.ClientSession(timeout=_WITHIN) as session:
            known = await _known(session, target)
            answers = [
                Answer(
                    one.place, one.text, 0, "not asked: HUBBUB_CLUSTER_EXPORTER_IMAGE is not set"
                )
                if _of_nats_alone(one) and not target.exporter_image
                else await _asked(session, target, one, known)
                for one in expressions
            ]
        verdict = await talk.end("a quiet time with two streamers")
    report.verdicts.append(verdict)
    report.answers += answers

    assert verdict.violations == ()
    assert verdict.reconnects == 0
    assert {one.place: one.remark for one in answers if one.remark.startswith("refused")} == {}
    unknown = {one.place: one.remark for one in answers if one.remark.startswith("unknown")}
    assert unknown == {}
    if target.exporter_image:
        told = [
            one
            for one in answers
            if OF_NATS in one.expression and OF_GATEWAYS not in one.expression
        ]
        assert told
        assert [one.place for one in told if not one.series] == []


def _of_nats_alone(one: Expression) -> bool:
    """Whether nothing but the exporter could answer."""
    return all(selector.startswith(OF_NATS) for selector in selectors(one.text))


async def _live(doors: Doors, people: Sequence[User]) -> None:
    """What people do beside talking, and what they should not: it is to be seen."""
    async with aiohttp.ClientSession() as session:
        rest = Rest(session, doors.gateway)
        user = people[0]
        until = time.monotonic() + TALK - 10
        while time.monotonic() < until:
            await rest.login(user.username, user.password)
            await rest.get("me", user)
            await rest.get("rooms.get", user)
            await rest.get("users.info", user, username=people[1].username)
            token = secrets.token_hex(8)
            device = {"type": "gcm", "value": token, "appName": "main", "id": token}
            await rest.post("push.token", user, **device)
            await rest.ask("DELETE", "/api/v1/push.token", user=user, body={"token": token})
            wrong = {"username": user.username, "password": "not the password"}
            await rest.ask("POST", "/api/v1/login", body=wrong)
            await _misbehave(doors, user, people[1])
            await asyncio.sleep(2.0)


async def _misbehave(doors: Doors, user: User, other: User) -> None:
    """No DDP, no HTTP, and too much."""
    address = doors.streamer.replace("http", "ws", 1) + "/websocket"
    async with opened(address, lambda _, __: None) as (line, reading, socket):
        await line.connect()
        await line.call("login", {"resume": user.token})
        with suppress(Failed):
            for _ in range(12):
                await line.call("createDirectMessage", other.username)
        with suppress(Failed):
            await line.call("sendMessage", {"rid": "nowhere", "msg": "nobody hears this"})
        await socket.send("this is no DDP")
        await reading
    behind = urlsplit(doors.gateway)
    reader, writer = await asyncio.open_connection(behind.hostname, behind.port)
    writer.write(b"this is no HTTP\r\n\r\n")
    async with asyncio.timeout(10):
        await reader.read()
    writer.close()


async def _known(session: aiohttp.ClientSession, target: Target) -> frozenset[str]:
    """Every metric that a process names, those included of which nothing has happened yet."""
    async with session.get(f"{target.prometheus}/api/v1/metadata") as answer:
        return frozenset((await answer.json())["data"])


def _name(selector: str, known: frozenset[str]) -> str | None:
    """The metric behind a selector, if a process has it."""
    name = selector.partition("{")[0]
    parts = (name.removesuffix(end) for end in ("", "_bucket", "_count", "_sum", "_total"))
    return next((part for part in parts if part in known), None)


async def _asked(
    session: aiohttp.ClientSession, target: Target, one: Expression, known: frozenset[str]
) -> Answer:
    """An alert that is quiet has no series: then its own series are counted, without the limits."""
    try:
        series = await _count(session, target, one.text)
    except ValueError as error:
        return Answer(one.place, one.text, 0, f"refused: {error}")
    if series and not one.is_alert:
        return Answer(one.place, one.text, series, "")
    counts = {selector: await _count(session, target, selector) for selector in selectors(one.text)}
    absent = sorted(selector for selector, count in counts.items() if not count)
    unknown = [selector for selector in absent if _name(selector, known) is None]
    if one.is_alert and series:
        return Answer(one.place, one.text, series, "fires")
    of_others = OF_OTHERS if target.exporter_image else (*OF_OTHERS, OF_NATS)
    if ours := [name for name in unknown if not name.startswith(of_others)]:
        return Answer(one.place, one.text, 0, f"unknown: {', '.join(ours)}")
    if unknown and len(unknown) == len(counts):
        return Answer(one.place, one.text, 0, f"nobody here tells {', '.join(unknown)}")
    if absent and not (one.is_alert and len(absent) < len(counts)):
        return Answer(one.place, one.text, 0, f"nothing of it happened: {', '.join(absent)}")
    if one.is_alert:
        return Answer(one.place, one.text, max(counts.values(), default=0), "quiet")
    return Answer(one.place, one.text, 0, "its series are there; the calculation gives none")


async def _count(session: aiohttp.ClientSession, target: Target, query: str) -> int:
    """How many series answer. Raises: ValueError: it is no query."""
    async with session.get(f"{target.prometheus}/api/v1/query", params={"query": query}) as answer:
        body: dict[str, Any] = await answer.json()
    if body["status"] != "success":
        raise ValueError(body["error"])
    data = body["data"]
    return len(data["result"]) if data["resultType"] in ("vector", "matrix") else 1
