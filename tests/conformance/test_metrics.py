"""What operators see: after a login, a subscription, a message and a REST call every process on the
way has counted them, under the names and labels that are documented."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from hubbub.ids import random_id
from hubbub.telemetry.inventory import sample_labels
from hubbub.telemetry.labels import BUDGET
from tests.conformance.conftest import Running, SignIn
from tests.conformance.rest import Rest, User
from tests.conformance.test_8_rest import group_of
from tests.waiting import eventually

pytestmark = pytest.mark.conformance


@dataclass(frozen=True)
class Scraped:
    """What all processes of one service show."""

    texts: list[str]

    @property
    def families(self) -> list[Metric]:
        """Of all of them."""
        return [family for text in self.texts for family in text_string_to_metric_families(text)]

    def value(self, name: str, **labels: str) -> float:
        """The sum over its processes and over the labels that are not given."""
        return sum(
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


Scrape = Callable[[], Awaitable[dict[str, Scraped]]]


@pytest.fixture
def scrape(hubbub: Running) -> Scrape:
    """Asks every process of this Hubbub, as Prometheus would."""
    ports: dict[str, list[int]] = {}
    for path in sorted((hubbub.data / "log").glob("*.log")):
        service = path.stem.rstrip("-0123456789")
        lines = [line for line in path.read_text().splitlines() if '"ops_listening"' in line]
        if service in SERVICES and lines:  # other tests leave the logs of their own streamers
            ports.setdefault(service, []).append(json.loads(lines[-1])["port"])

    async def ask(session: aiohttp.ClientSession, port: int) -> str:
        async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
            assert answer.status == 200
            return await answer.text()

    async def all_of_them() -> dict[str, Scraped]:
        async with aiohttp.ClientSession() as session:
            return {
                service: Scraped(list(await asyncio.gather(*(ask(session, p) for p in found))))
                for service, found in ports.items()
            }

    return all_of_them


SERVICES = {
    "account",
    "apps-engine",
    "authorization",
    "ddp-streamer",
    "gateway",
    "messaging",
    "presence",
    "push",
    "stream-hub",
}

GROWS: list[tuple[str, str, dict[str, str]]] = [
    ("ddp-streamer", "hubbub_streamer_handshakes_total", {"outcome": "ok"}),
    ("ddp-streamer", "hubbub_streamer_logins_total", {"outcome": "ok"}),
    ("ddp-streamer", "hubbub_streamer_messages_total", {"direction": "in", "type": "sub"}),
    ("ddp-streamer", "hubbub_streamer_messages_total", {"direction": "in", "type": "method"}),
    ("ddp-streamer", "hubbub_streamer_messages_total", {"direction": "out", "type": "result"}),
    ("ddp-streamer", "hubbub_streamer_messages_total", {"direction": "out", "type": "changed"}),
    ("ddp-streamer", "hubbub_streamer_bytes_total", {"direction": "in", "type": "method"}),
    ("ddp-streamer", "hubbub_streamer_bytes_total", {"direction": "out", "type": "changed"}),
    ("ddp-streamer", "hubbub_streamer_events_received_total", {"stream": "room-messages"}),
    ("ddp-streamer", "hubbub_streamer_deliveries_total", {}),
    ("ddp-streamer", "hubbub_streamer_deliveries_by_stream_total", {"stream": "room-messages"}),
    ("ddp-streamer", "hubbub_streamer_fanout_recipients_sum", {}),
    ("ddp-streamer", "hubbub_streamer_fanout_duration_seconds_count", {}),
    ("ddp-streamer", "hubbub_messages_sent_total", {"via": "ddp"}),
    *(
        ("ddp-streamer", "hubbub_delivery_latency_seconds_count", {"stage": stage})
        for stage in ("commit_to_hub", "hub_to_streamer", "streamer_to_socket", "total")
    ),
    ("ddp-streamer", "hubbub_rpc_client_requests_total", {"service": "messaging"}),
    ("ddp-streamer", "hubbub_rpc_client_duration_seconds_count", {"service": "account"}),
    ("gateway", "hubbub_http_requests_total", {"route": "/api/v1/me", "code": "200"}),
    ("gateway", "hubbub_http_request_duration_seconds_count", {}),
    ("gateway", "hubbub_messages_sent_total", {"via": "rest"}),
    ("messaging", "hubbub_rpc_server_requests_total", {"method": "send_message", "outcome": "ok"}),
    ("messaging", "hubbub_rpc_server_duration_seconds_count", {}),
    *(
        ("messaging", "hubbub_message_send_duration_seconds_count", {"stage": stage})
        for stage in ("validate", "authorize", "persist")
    ),
    ("messaging", "hubbub_search_duration_seconds_count", {}),
    ("messaging", "hubbub_mongo_command_duration_seconds_count", {"outcome": "ok"}),
    ("messaging", "hubbub_mongo_checkout_wait_seconds_count", {}),
    ("account", "hubbub_rpc_server_requests_total", {"outcome": "ok"}),
    ("account", "hubbub_account_logins_total", {"outcome": "ok"}),
    ("authorization", "hubbub_authz_decisions_total", {"result": "allowed"}),
    ("authorization", "hubbub_authz_cache_total", {}),
    ("authorization", "hubbub_authz_invalidation_lag_seconds_count", {}),
    ("presence", "hubbub_presence_transitions_total", {"from": "offline", "to": "online"}),
    ("presence", "hubbub_presence_broadcast_total", {"outcome": "sent"}),
    ("stream-hub", "hubbub_hub_changes_total", {"collection": "messages", "op": "insert"}),
    ("stream-hub", "hubbub_hub_published_total", {"stream": "room-messages"}),
    ("stream-hub", "hubbub_hub_publish_duration_seconds_count", {}),
    ("stream-hub", "hubbub_hub_batch_events_count", {}),
    ("stream-hub", "hubbub_hub_event_bytes_count", {}),
]
"""(service, series, labels) of what counts a part of what the test does."""


async def test_what_happens_is_counted(
    scrape: Scrape, rest: Rest, ana: User, sign_in: SignIn, new_user: Callable[..., Awaitable[User]]
) -> None:
    bo = await new_user("bo")
    before = await scrape()
    group = await group_of(rest, ana, bo)
    client = await sign_in(ana)
    await client.subscribe("stream-room-messages", group["_id"], False)
    message = {"_id": random_id(), "rid": group["_id"], "msg": "hello"}
    await client.call("sendMessage", message)
    await rest.post("chat.sendMessage", bo, message={"rid": group["_id"], "msg": "hi"})
    await rest.get("chat.search", bo, roomId=group["_id"], searchText="hello")
    await rest.get("me", ana)
    await eventually(lambda: len(client.all(msg="changed", collection="stream-room-messages")) > 1)

    async def unmoved() -> list[str]:
        after = await scrape()
        return [
            f"{service} {name} {labels}"
            for service, name, labels in GROWS
            if after[service].value(name, **labels) <= before[service].value(name, **labels)
        ]

    async def all_moved() -> bool:
        return not await unmoved()

    try:
        await eventually(all_moved, within=10.0)
    except AssertionError:
        assert await unmoved() == []


async def test_levels_are_those_of_the_moment(scrape: Scrape, ana: User, sign_in: SignIn) -> None:
    client = await sign_in(ana)
    await client.subscribe("stream-notify-user", f"{ana.id}/message", False)
    shown = await scrape()
    streamers, hubs = shown["ddp-streamer"], shown["stream-hub"]

    assert set(shown) >= SERVICES
    assert streamers.value("hubbub_streamer_connections") >= 1
    assert streamers.value("hubbub_streamer_sessions", auth="yes") >= 1
    assert streamers.value("hubbub_streamer_connection_limit") > 100
    assert streamers.value("hubbub_streamer_subscriptions", stream="notify-user") >= 1
    assert streamers.value("hubbub_streamer_distinct_topics") >= 3
    assert hubs.value("hubbub_hub_leader") == 1
    assert hubs.value("hubbub_hub_epoch") >= 1
    assert 0 <= hubs.value("hubbub_hub_lag_seconds") < 30
    assert hubs.value("hubbub_hub_oplog_window_seconds") > 0
    assert shown["authorization"].value("hubbub_authz_cache_entries") >= 1
    for service in SERVICES:
        found, processes = shown[service], len(shown[service].texts)
        assert found.value("hubbub_build_info", component=service) == processes
        assert found.value("hubbub_up_state", state="serving") == processes
        assert found.value("hubbub_nats_connected") == processes
        assert found.value("hubbub_dependency_up", dependency="nats") == processes
        assert found.value("hubbub_event_loop_lag_seconds_count") >= processes
        assert found.value("hubbub_nats_messages_total", direction="in") >= processes
        assert found.value("hubbub_tasks") >= processes
        assert found.value("process_resident_memory_bytes") > 1e6
        has_database = service != "ddp-streamer"
        assert (found.value("hubbub_mongo_pool_connections", state="idle") > 0) == has_database


async def test_what_is_shown_is_what_is_documented(scrape: Scrape) -> None:
    """Every series of every process has the name and labels that the inventory has, and no
    process shows more than it may, whatever the tests before this one did to it."""
    known = sample_labels()
    for service, found in (await scrape()).items():
        for text in found.texts:
            samples = [s for f in text_string_to_metric_families(text) for s in f.samples]
            assert len(samples) <= BUDGET, service
            wrong = {s.name for s in samples if known.get(s.name) != frozenset(s.labels)}
            assert not wrong, service
