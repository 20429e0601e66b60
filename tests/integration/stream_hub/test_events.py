"""From a write in the database to what streamers and services hear."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from hubbub.bus import BusSettings
from hubbub.bus.nats import NatsBus
from hubbub.contracts.base import listen
from hubbub.contracts.event_log import Watermark, decode_control
from hubbub.contracts.events import MembershipChanged
from hubbub.mongo import Database
from tests.integration.stream_hub.hubs import Hubs, Writer, assert_complete, whole_log
from tests.waiting import eventually

pytestmark = pytest.mark.integration


async def _live(client: Client) -> list[Msg]:
    heard: list[Msg] = []

    async def note(received: Msg) -> None:
        heard.append(received)

    await client.subscribe("hubbub.v1.live.>", cb=note)
    await client.flush()
    await client.flush()
    return heard


def _on(heard: list[Msg], subject: str) -> list[Msg]:
    return [received for received in heard if received.subject == f"hubbub.v1.live.{subject}"]


def _some(heard: list[Msg], subject: str, count: int) -> list[Msg]:
    found = _on(heard, subject)
    return found if len(found) >= count else []


async def test_a_message_reaches_its_room(hubs: Hubs, client: Client, database: Database) -> None:
    await hubs.start()
    heard = await _live(client)
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    await database.rocketchat_message.insert_one(
        {
            "_id": "m1",
            "rid": "GENERAL",
            "msg": "hi",
            "ts": now,
            "u": {"_id": "u1"},
            "html": "CANARY",
        }
    )
    (received,) = await eventually(lambda: _on(heard, "room.GENERAL"))
    assert received.data == (
        b'{"msg":"changed","collection":"stream-room-messages","id":"id","fields":'
        b'{"eventName":"GENERAL","args":[{"_id":"m1","rid":"GENERAL","msg":"hi",'
        b'"ts":{"$date":1777636800000},"u":{"_id":"u1"}}]}}'
    )
    headers = received.headers or {}
    assert headers["Hub-Kind"] == "frame"
    assert headers["Hub-Stream"] == "room-messages"
    assert headers["Hub-Key"] == "GENERAL"
    assert headers["Hub-Room-Type"] == "c"
    assert headers["Hub-Room-Name"] == "general"
    assert headers["Hub-Uid"] == "u1"
    assert headers["Hub-Epoch"] == "1"
    assert headers["Hub-Event-Id"].endswith(":0")
    age = int(headers["Hub-Published"]) - int(headers["Hub-Committed"])
    assert -1000 < age < 5000


async def test_each_event_names_the_one_before_of_its_audience(
    hubs: Hubs, client: Client, database: Database
) -> None:
    await hubs.start()
    heard = await _live(client)
    writer = Writer(database)
    for _ in range(3):
        await writer.write(20)
        await database.users.update_one({"_id": "u1"}, {"$set": {"name": "x"}}, upsert=True)
    await assert_complete(client, writer)
    rooms = await eventually(lambda: _some(heard, "room.GENERAL", 60))
    last = 0
    for received in rooms:
        headers = received.headers or {}
        assert int(headers["Nats-Last-Sequence"]) == last
        last = int(headers["Nats-Sequence"])


async def test_memberships_rooms_and_accounts(
    hubs: Hubs, client: Client, database: Database
) -> None:
    await database.command(
        {"create": "rocketchat_subscription", "changeStreamPreAndPostImages": {"enabled": True}}
    )
    await hubs.start()
    heard = await _live(client)
    await database.users.insert_one(
        {"_id": "u1", "username": "ann", "services": {"password": {"bcrypt": "CANARY"}}}
    )
    subscription = {"_id": "s1", "rid": "GENERAL", "t": "c", "u": {"_id": "u1", "username": "ann"}}
    await database.rocketchat_subscription.insert_one(subscription | {"E2EKey": "CANARY"})
    await database.rocketchat_subscription.update_one({}, {"$set": {"roles": ["owner"]}})
    await database.rocketchat_room.update_one(
        {"_id": "GENERAL"}, {"$set": {"t": "p", "joinCode": "CANARY"}}
    )
    await database.users.update_one(
        {"_id": "u1"},
        {"$set": {"services.resume.loginTokens": ["CANARY"], "emails.0": {"address": "a@b"}}},
    )
    await database.rocketchat_subscription.delete_one({"_id": "s1"})
    room = await eventually(lambda: _some(heard, "room.GENERAL", 4))
    user = await eventually(lambda: _some(heard, "user.u1", 9))
    logged = await eventually(lambda: _on(heard, "logged"))
    assert [_what(received) for received in room] == [
        "room-access-changed",
        "rooms-changed",
        "GENERAL",
        "membership-ended",
    ]
    assert [_what(received) for received in user] == [
        "u1/userData",
        "membership-began",
        "u1/subscriptions-changed",
        "u1/rooms-changed",
        "u1/subscriptions-changed",
        "account-changed",
        "u1/userData",
        "membership-ended",
        "u1/subscriptions-changed",
    ]
    assert b'"type":"added","_id":"owner"' in logged[0].data
    assert not [received for received in heard if b"CANARY" in received.data]
    assert not [stored for stored in await whole_log(client) if b"CANARY" in stored.payload]


def _what(received: Msg) -> str:
    key = (received.headers or {}).get("Hub-Key")
    return key or decode_control(received.data).type


async def test_a_deleted_membership_is_found_in_the_trash(
    hubs: Hubs, client: Client, database: Database
) -> None:
    """Without the state before (foreign tools, expired images) the trash record speaks."""
    subscription = {"_id": "s1", "rid": "GENERAL", "t": "c", "u": {"_id": "u1", "username": "ann"}}
    await database.rocketchat_subscription.insert_one(subscription)
    await hubs.start()
    heard = await _live(client)
    await database["rocketchat__trash"].insert_one(
        subscription | {"__collection__": "subscription"}
    )
    await database.rocketchat_subscription.delete_one({"_id": "s1"})
    (received,) = await eventually(lambda: _on(heard, "room.GENERAL"))
    assert _what(received) == "membership-ended"


class _Cache:
    def __init__(self) -> None:
        self.heard: list[MembershipChanged] = []

    @listen(MembershipChanged, to="all")
    async def on_membership(self, event: MembershipChanged) -> None:
        self.heard.append(event)


async def test_other_services_caches_are_told(
    hubs: Hubs, nats_url: str, database: Database
) -> None:
    await hubs.start()
    cache = _Cache()
    bus = NatsBus(BusSettings(nats_url=nats_url), service="test", instance="test-1")
    await bus.connect()
    try:
        await bus.listen(cache, service="test")
        await database.rocketchat_subscription.insert_one(
            {"_id": "s1", "rid": "GENERAL", "u": {"_id": "u1"}}
        )
        (event,) = await eventually(lambda: cache.heard)
    finally:
        await bus.close()
    assert (event.user_id, event.room_id, event.change) == ("u1", "GENERAL", "began")


async def test_watermarks_tell_how_far_the_log_is(
    hubs: Hubs, client: Client, database: Database
) -> None:
    await hubs.start()
    heard = await _live(client)
    writer = Writer(database)
    await writer.write(10)
    log = await assert_complete(client, writer)

    def marks() -> list[Watermark]:
        events = [decode_control(received.data) for received in _on(heard, "control")]
        return [event for event in events if isinstance(event, Watermark)]

    mark = await eventually(lambda: next((m for m in marks() if m.tops), None))
    assert mark.sequence == log[-1].sequence
    assert dict(mark.tops)["room.GENERAL"] == log[-1].sequence
    assert mark.epoch == 1
    assert log[0].marker is not None
    assert mark.log_epoch == log[0].marker.log_epoch
