"""One message, one trace: from the client's frame to the last socket."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.observability.collector import Span
from tests.e2e.observability.conftest import Scene
from tests.e2e.resilience.line import opened
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc"),
]

CLIENT, SERVER, PRODUCER, CONSUMER = 3, 2, 4, 5  # kinds of spans in OTLP
_TRACE = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


async def test_a_message_from_socket_to_socket_is_one_trace(scene: Scene) -> None:
    """Frame, call, database, hub, fan-out: each the child of the one that caused it."""
    room_id = await scene.room(scene.bo)
    got: list[Any] = []
    url = scene.hubbub.url.replace("http", "ws", 1) + "/websocket"
    message_id = secrets.token_hex(8)
    async with opened(url, lambda _, fields: got.append(fields)) as (line, _, _):
        await line.connect()
        await line.call("login", {"resume": scene.bo.token})
        await line.subscribe("stream-room-messages", room_id, False)
        sent = await line.call("sendMessage", {"_id": message_id, "rid": room_id, "msg": "traced"})
        await eventually(lambda: any(f["args"][0]["_id"] == message_id for f in got))

    collector = scene.collector

    def done() -> Span | None:
        fanned = [span for span in collector.spans if span.name == "streamer.fanout"]
        for span in fanned:
            if collector.named("ddp.method sendMessage", span.trace):
                return span
        return None

    fanout = await eventually(done, within=30.0)
    trace = fanout.trace
    await eventually(lambda: collector.named("rpc messaging.send_message", trace)[1:], within=30.0)
    # Each process sends what it has in its own time.
    for name in ("ddp.method sendMessage", "funnel commit", "mongo insert", "hub.publish"):
        await eventually(lambda name=name: collector.named(name, trace), within=30.0, what=name)

    [frame] = collector.named("ddp.method sendMessage", trace)
    assert (frame.service, frame.kind, frame.parent) == ("hubbub-ddp-streamer", SERVER, "")
    calls = collector.named("rpc messaging.send_message", trace)
    [asked] = [span for span in calls if span.kind == CLIENT]
    [worked] = [span for span in calls if span.kind == SERVER]
    assert asked.parent == frame.id
    assert (worked.parent, worked.service) == (asked.id, "hubbub-messaging")
    [commit] = collector.named("funnel commit", trace)
    assert commit.parent == worked.id
    [insert] = collector.named("mongo insert", trace)
    assert (insert.parent, insert.kind) == (commit.id, CLIENT)
    assert insert.attributes["db.collection.name"] == "rocketchat_message"
    [publish] = collector.named("hub.publish", trace)
    assert (publish.parent, publish.kind) == (worked.id, PRODUCER)
    assert publish.service == "hubbub-stream-hub"
    # One per event, however many get it; linked to the change.
    assert [span.id for span in collector.named("streamer.fanout", trace)] == [fanout.id]
    assert fanout.kind == CONSUMER
    assert fanout.parent == publish.id
    assert fanout.links == {publish.id}
    assert fanout.attributes["recipients"] == 1
    assert fanout.attributes["filtered"] == 0
    assert "max_queue" in fanout.attributes
    # Nothing of it leaves the server.
    history = await scene.rest.get("groups.history", scene.bo, roomId=room_id)
    for shown in (sent, got, history):
        assert "_trace" not in repr(shown)
        assert not _TRACE.search(repr(shown).encode())


async def test_a_request_goes_on_with_the_trace_of_its_client(scene: Scene) -> None:
    """`traceparent` of HTTP: the gateway's span is its child."""
    trace, parent = secrets.token_hex(16), secrets.token_hex(8)
    headers = scene.ana.headers | {"traceparent": f"00-{trace}-{parent}-01"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{scene.hubbub.url}/api/v1/me", headers=headers) as answer,
    ):
        assert answer.status == 200

    collector = scene.collector
    [request] = await eventually(lambda: collector.named("GET /api/v1/me", trace), within=30.0)
    assert (request.parent, request.service) == (parent, "hubbub-gateway")
    assert request.attributes["http.response.status_code"] == 200
    await eventually(
        lambda: [one for one in collector.of(trace) if one.service == "hubbub-account"], within=30.0
    )


async def test_a_subscription_is_traced_by_its_stream(scene: Scene) -> None:
    """By its name, never by what it is about."""
    room_id = await scene.room()
    url = scene.hubbub.url.replace("http", "ws", 1) + "/websocket"
    async with opened(url, lambda *_: None) as (line, _, _):
        await line.connect()
        await line.call("login", {"resume": scene.ana.token})
        await line.subscribe("stream-room-messages", room_id, False)

    collector = scene.collector
    names = await eventually(
        lambda: {span.name for span in collector.spans if span.name.startswith("ddp.sub")},
        within=30.0,
    )
    assert "ddp.sub room-messages" in names
    assert not any(room_id in span.name for span in collector.spans)
