"""Conformance: session ids are credentials and stay on their sockets (number 98).

The last file of the suite: it looks at what the whole run has left behind.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import aiohttp
import pytest
from bson import json_util
from nats.aio.msg import Msg

from hubbub.bus.connection import Connection
from hubbub.bus.keys import key_file
from hubbub.bus.permissions import CLI
from hubbub.mongo import Database
from tests.conformance.conftest import Running, SignIn
from tests.conformance.ddp import SESSIONS
from tests.conformance.rest import Rest, User

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(120)]


async def test_098_session_ids_are_told_to_nobody_else(
    hubbub: Running, rest: Rest, database: Database, sign_in: SignIn, ana: User
) -> None:
    """In no event, log line, metric or document; everything searched is shown to be there."""
    overheard: list[bytes] = []

    async def hear(message: Msg) -> None:
        headers = "".join(f"{name}={value}" for name, value in (message.headers or {}).items())
        overheard.append(b" ".join((message.subject.encode(), headers.encode(), message.data)))

    broker = Connection()
    broker.key_file = key_file(Path(hubbub.address("nats_keys")), CLI)
    await broker.connect(hubbub.address("nats_url"), inbox_prefix=f"_INBOX.{CLI}")
    try:
        await broker.subscribe(">", cb=hear)
        await broker.flush()
        revoked, leaving, staying = [await sign_in(ana) for _ in range(3)]
        await revoked.subscribe("stream-notify-user", f"{ana.id}/force_logout", False)
        await rest.post("logout", User(ana.id, ana.username, ana.password, revoked.token))
        assert await revoked.closed() == 1008
        assert revoked.events("notify-user", f"{ana.id}/force_logout") == [[revoked.session]]
        await leaving.call("logout")
        await staying.call("setUserStatus", "busy", "seen by all")
        await staying.settle()
        await broker.flush()
    finally:
        await broker.close()
    events = b"\n".join(overheard)
    logs = b"\n".join(file.read_bytes() for file in (hubbub.data / "log").iterdir())
    told = (json.loads(line) for line in logs.splitlines() if b'"ops_listening"' in line)
    metrics = "".join([await _metrics(line["port"]) for line in told])
    documents = "\n".join(
        [
            json_util.dumps(document)
            for name in await database.list_collection_names()
            async for document in database[name].find()
        ]
    )

    assert {revoked.session, leaving.session, staying.session} <= SESSIONS
    assert ana.id.encode() in events
    assert ana.id in documents
    assert b"service_ready" in logs
    assert "hubbub_streamer_connections" in metrics
    pattern = re.compile("|".join(SESSIONS))
    for place, text in (
        ("events", events.decode("utf-8", "replace")),
        ("logs", logs.decode("utf-8", "replace")),
        ("metrics", metrics),
        ("documents", documents),
    ):
        assert pattern.search(text) is None, f"a session id is in the {place}"


async def _metrics(port: int) -> str:
    """The metrics of a process; nothing of one that has ended."""
    url = f"http://127.0.0.1:{port}/metrics"
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return await answer.text()
    except aiohttp.ClientError:
        return ""
