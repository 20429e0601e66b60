"""A whole streamer, seen by clients: logins, streams, rights, typing, presence, the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import aiohttp
import orjson
import pytest
from nats.js.errors import KeyNotFoundError

from hubbub.contracts.event_log import (
    EVERYONE,
    LOGGED,
    PRESENCE,
    Kind,
    RightsChanged,
    RoomAccessChanged,
    room_audience,
    user_audience,
)
from hubbub.contracts.presence import INSTANCES_BUCKET, PresenceWanted
from hubbub.ddp.stream import stream_frame
from tests.integration.ddp_streamer.harness import Cable
from tests.integration.ddp_streamer.world import World, world
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def town(nats_url: str) -> AsyncIterator[World]:
    async with world(nats_url) as running:
        yield running


async def test_a_login_answers_in_the_order_that_clients_expect(town: World) -> None:
    client = await town.client("bob")
    await client.got(lambda frame: frame.get("msg") == "updated")
    kinds = [frame.get("msg") for frame in client.frames]
    assert kinds == [None, "connected", "added", "result", "updated"]
    assert client.frames[2]["fields"] == {"username": "bob", "name": "Bob"}
    assert client.frames[3]["result"]["tokenExpires"] == {"$date": 1893456000000}
    await eventually(lambda: ("new", "bob", "online", 1) in town.facts.presence)


async def test_an_unknown_token_is_refused_and_an_absent_account_is_waited_for(
    town: World,
) -> None:
    client = await town.anonymous()
    refused = await client.call("login", {"resume": "stale"})
    assert refused["error"]["error"] == 403
    town.facts.tokens["good"] = "bob"
    town.facts.account_away = True
    call_id = await client.begin("login", {"resume": "good"})
    await client.send(msg="ping", id="p")
    await client.got(lambda frame: frame.get("msg") == "pong" and frame["id"] == "p")
    assert not any(frame.get("id") == call_id for frame in client.frames)
    town.facts.account_away = False
    answer = await client.result(call_id, within=15)
    assert answer["result"]["id"] == "bob"


async def test_a_burst_behind_a_login_has_its_rights(town: World) -> None:
    town.room("R1", "bob")
    town.facts.tokens["tok"] = "bob"
    client = await town.anonymous()
    await client.begin("login", {"resume": "tok"})
    subs = [
        await client.sub("room-messages", "R1"),
        await client.sub("notify-user", "bob/notification"),
        await client.sub("notify-logged", "updateAvatar"),
        await client.sub("roles", "roles"),
    ]
    for sub_id in subs:
        assert (await client.answered(sub_id))["msg"] == "ready"


async def test_a_sub_just_before_the_login_waits_for_it(town: World) -> None:
    town.room("R1", "bob")
    town.facts.tokens["tok"] = "bob"
    client = await town.anonymous()
    sub_id = await client.sub("room-messages", "R1")
    unknown = await client.call("nope")
    assert unknown["error"]["reason"] == "Method 'nope' not found"
    await client.login("tok")
    assert (await client.answered(sub_id))["msg"] == "ready"


async def test_a_sub_without_a_login_is_refused_after_three_seconds(town: World) -> None:
    client = await town.anonymous()
    sub_id = await client.sub("notify-logged", "updateAvatar")
    answer = await client.answered(sub_id, within=5)
    assert answer["error"]["error"] == "not-allowed"


async def test_messages_arrive_in_order_and_once(town: World) -> None:
    town.room("R1", "bob", "ann")
    clients = [await town.client("bob"), await town.client("ann")]
    for client in clients:
        await client.subscribed("room-messages", "R1")
        await client.subscribed("room-messages", "R1")  # a second id: still once per socket
    for number in range(200):
        await town.hub.message("R1", f"m{number}")
    for client in clients:
        await client.hears("room-messages", "R1", 200)
        assert client.texts("R1") == [f"m{number}" for number in range(200)]


async def test_a_message_right_after_ready_is_delivered_a_thousand_times(town: World) -> None:
    client = await town.client("bob")
    for number in range(1000):
        room_id = f"race{number}"
        town.room(room_id, "bob")
        await client.subscribed("room-messages", room_id)
        await town.hub.message(room_id, "x")
        if number % 100 == 99:
            await client.hears("room-messages", room_id)
    await eventually(
        lambda: all(client.texts(f"race{number}") == ["x"] for number in range(1000)), within=20
    )


async def test_rooms_and_foreign_users_are_refused(town: World) -> None:
    town.room("secret")
    client = await town.client("bob")
    for stream, event in (
        ("room-messages", "secret"),
        ("notify-room", "secret/typing"),
        ("notify-user", "ann/notification"),
        ("notify-room-users", "secret/webrtc"),
        ("stdout", "stdout"),
    ):
        answer = await client.answered(await client.sub(stream, event))
        assert answer["error"]["error"] == "not-allowed", (stream, event)
    missing = await client.answered(await client.sub("nothing", "x"))
    assert missing["error"]["error"] == 404
    empty = await client.answered(await client.sub("room-messages", ""))
    assert empty["error"]["error"] == "invalid-event-name"


async def test_an_authorization_that_is_away_is_not_a_refusal(town: World) -> None:
    town.room("R1", "bob")
    client = await town.client("bob")
    town.facts.authorization_away = True
    sub_id = await client.sub("room-messages", "R1")
    await client.send(msg="ping")
    await client.got(lambda frame: frame.get("msg") == "pong")
    town.facts.authorization_away = False
    assert (await client.answered(sub_id, within=12))["msg"] == "ready"


async def test_no_frame_after_the_end_of_a_membership_a_thousand_times(town: World) -> None:
    town.room("R1", "bob")
    client, everything = await town.client("bob"), await town.client("bob")
    await everything.subscribed("room-messages", "__my_messages__")
    forbidden: set[str] = set()
    due: set[str] = set()
    for number in range(1000):
        town.facts.members["bob"].add("R1")
        sub_id = await client.subscribed("room-messages", "R1")
        texts = [f"{number}-{index}" for index in range(4)]
        (end, *sequences) = await asyncio.gather(
            town.leave("bob", "R1"), *(town.hub.message("R1", text) for text in texts)
        )
        for text, sequence in zip(texts, sequences, strict=True):
            (forbidden if sequence > end else due).add(text)
        ended = await client.ended(sub_id)
        assert ended["error"]["error"] == "not-allowed"
        forbidden.add(f"{number}-late")
        await town.hub.message("R1", f"{number}-late")
    await town.hub.client.flush()
    await client.send(msg="ping", id="end")
    await client.got(lambda frame: frame.get("id") == "end")
    heard = set(client.texts("R1"))
    assert not heard & forbidden
    assert due <= heard
    # The memberships of the other socket ended once, with the first removal.
    everywhere = [args[0]["_id"] for args in everything.heard("room-messages", "__my_messages__")]
    assert not set(everywhere) & forbidden
    assert len(forbidden) > 1000


async def test_a_sub_behind_the_end_of_a_membership_is_not_let_in_on_what_is_remembered(
    town: World,
) -> None:
    """The end has gone by: nothing would ever end a subscription that is opened now."""
    town.room("R1", "ann", "bob")
    bob, ann = await town.client("bob"), await town.client("ann")
    await ann.subscribed("room-messages", "R1")
    sub_id = await bob.subscribed("room-messages", "R1")
    town.facts.remembered["bob"] = {"R1"}
    await town.leave("bob", "R1")
    assert (await bob.ended(sub_id))["error"]["error"] == "not-allowed"
    for stream, event in (("room-messages", "R1"), ("notify-room", "R1/deleteMessage")):
        again = await bob.sub(stream, event)
        assert (await bob.answered(again))["error"]["error"] == "not-allowed"


async def test_my_messages_of_joined_public_and_new_rooms(town: World) -> None:
    town.room("P1", "bot")
    town.room("C1", kind="c")
    town.room("P2")
    bot = await town.client("bot")
    await bot.subscribed("room-messages", "__my_messages__", {"useCollection": True})
    assert any(frame.get("msg") == "added" and frame["id"] == "id" for frame in bot.frames)
    await town.hub.message("P1", "joined")
    await town.hub.message("C1", "public", room_type="c")
    await town.hub.message("P2", "private")
    await eventually(lambda: len(bot.heard("room-messages", "__my_messages__")) == 2)
    joined, public = sorted(
        bot.heard("room-messages", "__my_messages__"), key=lambda args: args[0]["_id"]
    )
    assert joined[1] == {"roomParticipant": True, "roomType": "p", "roomName": "name-P1"}
    assert public[1] == {"roomParticipant": False, "roomType": "c", "roomName": "name-C1"}
    await town.join("bot", "P2")
    await town.hub.message("P2", "first words")
    await town.join("bot", "C1")
    await town.hub.message("C1", "as a member", room_type="c")
    await eventually(lambda: len(bot.heard("room-messages", "__my_messages__")) == 4)
    assert bot.heard("room-messages", "__my_messages__")[3][1]["roomParticipant"] is True


async def test_my_messages_subscribed_before_the_login(town: World) -> None:
    town.room("P1", "bot")
    town.facts.tokens["tok"] = "bot"
    client = await town.anonymous()
    await client.subscribed("room-messages", "__my_messages__", True)
    await town.hub.message("P1", "unheard")
    await client.login("tok")
    await town.hub.message("P1", "heard")
    await eventually(lambda: len(client.heard("room-messages", "__my_messages__")) == 1)


async def test_rooms_changed_reaches_members_and_is_coalesced(town: World) -> None:
    town.room("R1", "bob")
    bob, ann = await town.client("bob"), await town.client("ann")
    await bob.subscribed("notify-user", "bob/rooms-changed")
    await ann.subscribed("notify-user", "ann/rooms-changed")
    for number in range(50):
        await town.hub.publish(
            room_audience("R1"),
            orjson.dumps(["updated", {"_id": "R1", "msgs": number}]),
            stream="notify-user",
            key="rooms-changed",
            kind=Kind.ARGS,
        )
    await eventually(
        lambda: [a for a in bob.heard("notify-user", "bob/rooms-changed") if a[1]["msgs"] == 49]
    )
    assert 2 <= len(bob.heard("notify-user", "bob/rooms-changed")) <= 4
    assert bob.heard("notify-user", "bob/rooms-changed")[0][1]["msgs"] == 0
    assert ann.heard("notify-user", "ann/rooms-changed") == []


async def test_typing_reaches_the_others_but_not_the_writer(town: World) -> None:
    town.room("R1", "bob", "ann")
    writer, second, ann = (
        await town.client("bob"),
        await town.client("bob"),
        await town.client("ann"),
    )
    for client in (writer, second, ann):
        await client.subscribed("notify-room", "R1/typing")
        await client.subscribed("notify-room", "R1/user-activity")
    answer = await writer.call("stream-notify-room", "R1/user-activity", "bob", ["user-typing"], {})
    assert answer == {"msg": "result", "id": answer["id"]}
    for client in (second, ann):
        await client.hears("notify-room", "R1/typing")
        await client.hears("notify-room", "R1/user-activity")
        assert client.heard("notify-room", "R1/typing") == [["bob", True]]
        assert client.heard("notify-room", "R1/user-activity") == [["bob", ["user-typing"], {}]]
    await ann.call("stream-notify-room", "R1/typing", "bob", True)  # somebody else's name
    await ann.call("stream-notify-room", "R1/typing", "ann", False)
    await eventually(lambda: writer.heard("notify-room", "R1/typing") == [["ann", False]])


async def test_presence_by_deltas(town: World) -> None:
    client = await town.client("bob")
    first = await client.sub("user-presence", "", {"added": ["ann"]})
    assert (await client.answered(first))["msg"] == "ready"
    later = await client.sub("user-presence", "", {"added": ["eve"], "removed": ["ann"]})
    answer = await client.answered(later)
    assert answer == {"msg": "nosub", "id": later}
    for user_id in ("ann", "eve"):
        frame = stream_frame("user-presence", user_id, b'[["x",1,""]]', user_id)
        await town.hub.ephemeral(PRESENCE, frame, stream="user-presence", key=user_id, uid=user_id)
    await eventually(lambda: client.heard("user-presence", "eve"))
    assert client.heard("user-presence", "ann") == []


async def test_an_id_that_is_ended_by_a_presence_delta_hears_nothing_more(town: World) -> None:
    town.room("R1", "bob")
    client = await town.client("bob")
    await client.subscribed("user-presence", "", {})
    used = await client.subscribed("room-messages", "R1")
    await client.send(
        msg="sub", id=used, name="stream-user-presence", params=["", {"added": ["ann"]}]
    )
    assert await client.ended(used) == {"msg": "nosub", "id": used}
    await town.hub.message("R1", "unheard")
    other = await client.subscribed("room-messages", "R1")
    await town.hub.message("R1", "heard")
    await client.hears("room-messages", "R1")
    assert client.texts("R1") == ["heard"]
    assert other != used


async def test_revoking_one_token_closes_only_its_socket(town: World) -> None:
    kept = await town.client("bob", "kept")
    gone = await town.client("bob", "gone")
    del town.facts.tokens["gone"]
    await town.account_changed("bob")
    await eventually(lambda: gone.closed == (1008, "POLICY"))
    session = gone.frames[1]["session"]
    assert gone.heard("notify-user", "bob/force_logout") == [[session]]
    assert kept.closed is None
    assert (await kept.call("UserPresence:away"))["msg"] == "result"


async def test_logout_ends_the_subscriptions_and_keeps_the_socket(town: World) -> None:
    town.room("R1", "bob")
    client = await town.client("bob")
    sub_id = await client.subscribed("room-messages", "R1")
    answer = await client.call("logout")
    assert answer == {"msg": "result", "id": answer["id"]}
    await client.got(lambda frame: frame == {"msg": "nosub", "id": sub_id})
    await town.account_changed("bob")
    assert "token-bob" not in town.facts.tokens
    refused = await client.call("sendMessage", {"rid": "R1", "msg": "x"})
    assert refused["error"]["error"] == "error-invalid-user"
    await eventually(lambda: ("remove", "bob", "online", 2) in town.facts.presence)
    assert client.closed is None


async def test_changes_of_the_own_document(town: World) -> None:
    client = await town.client("bob")
    args = b'[{"type":"updated","id":"bob","diff":{"name":"Robert"},"unset":{}}]'
    frame = stream_frame("notify-user", "bob/userData", args)
    await town.hub.publish(user_audience("bob"), frame, stream="notify-user", key="bob/userData")
    changed = await client.got(lambda f: f.get("msg") == "changed" and f["collection"] == "users")
    assert changed["fields"] == {"name": "Robert"}


async def test_losing_a_right_ends_the_subscription(town: World) -> None:
    town.facts.permissions["bob"] = {"view-privileged-setting"}
    client = await town.client("bob")
    sub_id = await client.subscribed("notify-logged", "private-settings-changed")
    town.facts.permissions["bob"] = set()
    await town.hub.control(EVERYONE, RightsChanged(what="permissions"))
    ended = await client.got(lambda f: f.get("msg") == "nosub" and f["id"] == sub_id)
    assert ended["error"]["error"] == "not-allowed"


async def test_a_room_that_becomes_private_is_judged_before_its_next_message(
    town: World,
) -> None:
    town.room("C1", "ann", kind="c")
    bob, ann = await town.client("bob"), await town.client("ann")
    for client in (bob, ann):
        await client.subscribed("room-messages", "C1")
    town.facts.rooms["C1"] = "p"
    await town.hub.control(room_audience("C1"), RoomAccessChanged(room_id="C1"))
    for number in range(10):
        await town.hub.message("C1", f"m{number}")
    await eventually(lambda: len(ann.texts("C1")) == 10)
    assert ann.texts("C1") == [f"m{number}" for number in range(10)]
    await bob.got(lambda f: f.get("msg") == "nosub")
    assert bob.texts("C1") == []


async def test_an_answer_from_before_a_room_was_followed_is_not_trusted(town: World) -> None:
    town.room("C1", kind="c")
    bob = await town.client("bob")
    await bob.call("stream-notify-room", "C1/typing", "bob", True)  # asks, and follows nothing
    assert town.streamer.rights.known_access("bob", "C1") is True
    town.facts.rooms["C1"] = "p"
    await town.hub.control(room_audience("C1"), RoomAccessChanged(room_id="C1"))
    answer = await bob.answered(await bob.sub("notify-room", "C1/typing"))
    assert answer["error"]["error"] == "not-allowed"


async def test_sendmessage_keeps_its_order_and_reads_overtake_nothing_they_must_not(
    town: World,
) -> None:
    town.room("R1", "bob")
    client = await town.client("bob")
    calls = [
        await client.begin("sendMessage", {"rid": "R1", "msg": f"m{number}"})
        for number in range(20)
    ]
    for call_id in calls:
        await client.result(call_id)
    assert town.facts.sent == [f"m{number}" for number in range(20)]


async def test_events_for_everybody_and_for_those_signed_in(town: World) -> None:
    nobody, bob = await town.anonymous(), await town.client("bob")
    await nobody.subscribed("notify-all", "public-settings-changed")
    await bob.subscribed("notify-logged", "Users:NameChanged")
    await town.hub.publish(
        EVERYONE,
        stream_frame("notify-all", "public-settings-changed", b'["updated",{"_id":"x"}]'),
        stream="notify-all",
        key="public-settings-changed",
    )
    await town.hub.publish(
        LOGGED,
        stream_frame("notify-logged", "Users:NameChanged", b'[{"_id":"u"}]'),
        stream="notify-logged",
        key="Users%3ANameChanged",
    )
    await eventually(lambda: nobody.heard("notify-all", "public-settings-changed"))
    await eventually(lambda: bob.heard("notify-logged", "Users:NameChanged"))


async def test_a_forged_message_on_the_ephemeral_way_is_not_delivered(town: World) -> None:
    town.room("R1", "bob")
    client = await town.client("bob")
    await client.subscribed("room-messages", "R1")
    await client.subscribed("notify-room", "R1/typing")
    await town.hub.ephemeral(
        room_audience("R1"),
        stream_frame("room-messages", "R1", b'[{"_id":"forged"}]'),
        stream="room-messages",
        key="R1",
    )
    await town.hub.ephemeral(
        room_audience("R1"),
        stream_frame("notify-room", "R1/typing", b'["ann",true]'),
        stream="notify-room",
        key="R1/typing",
    )
    await eventually(lambda: client.heard("notify-room", "R1/typing"))
    assert client.texts("R1") == []


async def test_the_lease_and_an_announcement_when_presence_asks(town: World) -> None:
    await town.client("bob")
    store = await town.hub.client.jetstream().key_value(INSTANCES_BUCKET)
    entry = await store.get("ddp-streamer-1")
    assert entry.value == town.streamer.presence.boot_id.encode()
    await town.bus.publish(PresenceWanted())
    await eventually(lambda: [note for note in town.facts.presence if note[0] == "announce"])


async def test_a_drain_gives_every_answer_and_closes_with_1012(town: World) -> None:
    idle, busy = await town.client("bob"), await town.client("ann")
    waiting = await town.anonymous()
    town.facts.tokens["late"] = "eve"
    call_id = await busy.begin("sendMessage", {"rid": "R1", "msg": "slow"})
    town.facts.account_away = True
    login_id = await waiting.begin("login", {"resume": "late"})
    await eventually(lambda: all(s.in_login or s.user_id for s in town.streamer.router.sessions))
    draining = asyncio.create_task(town.streamer.drain(0.2))
    await eventually(lambda: idle.closed == (1012, "SERVICE_RESTART"))
    assert busy.closed is None
    assert waiting.closed is None
    town.facts.slow.set()
    town.facts.account_away = False
    await busy.result(call_id)
    await waiting.result(login_id, within=15)
    await eventually(lambda: busy.closed == (1012, "SERVICE_RESTART"))
    await eventually(lambda: waiting.closed == (1012, "SERVICE_RESTART"))
    await draining
    removed = {note[1] for note in town.facts.presence if note[0] == "remove"}
    assert removed == {"bob", "ann", "eve"}
    assert town.facts.removals == [3]
    store = await town.hub.client.jetstream().key_value(INSTANCES_BUCKET)
    with pytest.raises(KeyNotFoundError):  # a deleted key is one
        await store.get("ddp-streamer-1")


async def test_a_drain_ends_with_its_process(nats_url: str) -> None:
    """What is unanswered then is closed a little before; a login is the last one to go."""
    async with world(nats_url, drain_patience=60) as town:
        busy, waiting = await town.client("ann"), await town.anonymous()
        await busy.begin("sendMessage", {"rid": "R1", "msg": "slow"})
        town.facts.account_away = True
        await waiting.begin("login", {"resume": "late"})
        await eventually(
            lambda: all(one.busy or one.in_login for one in town.streamer.router.sessions)
        )
        begun = time.monotonic()
        draining = asyncio.create_task(town.streamer.drain(60, deadline=4.0))
        await eventually(lambda: busy.closed == (1012, "SERVICE_RESTART"))
        assert time.monotonic() - begun > 2.5
        assert waiting.closed is None
        await eventually(lambda: waiting.closed == (1012, "SERVICE_RESTART"))
        await draining


async def test_a_client_that_reads_nothing_does_not_hold_up_a_drain(nats_url: str) -> None:
    """What is queued to it is given up two seconds after the last one was asked to go."""
    async with world(nats_url, close_timeout=30) as town:
        deaf = await town.client("bob")
        deaf.stop_reading()
        begun = time.monotonic()
        await town.streamer.drain(0.0)
        assert 1.5 < time.monotonic() - begun < 20
        assert not town.streamer.router.sessions


async def test_a_user_who_may_send_less_is_told_when_to_come_back(nats_url: str) -> None:
    async with world(nats_url, rate_send_message=5) as town:
        town.room("R1", "bob")
        client = await town.client("bob")
        answers = [await client.call("sendMessage", {"rid": "R1", "msg": "x"}) for _ in range(6)]
        assert ["error" in answer for answer in answers] == [False] * 5 + [True]
        error = answers[-1]["error"]
        assert error["error"] == "too-many-requests"
        assert 0 < error["details"]["timeToReset"] <= 1000
        town.facts.permissions["ann"] = {"send-many-messages"}
        bot = await town.client("ann")
        answers = [await bot.call("sendMessage", {"rid": "R1", "msg": "x"}) for _ in range(12)]
        assert not any("error" in answer for answer in answers)


async def test_a_streamer_cut_from_nats_gives_its_clients_everything_once(nats_url: str) -> None:
    async with Cable(nats_url) as cable, world(nats_url, cable.url) as town:
        rooms = [f"R{number}" for number in range(5)]
        for room_id in rooms:
            town.room(room_id, "bob", "bot")
        bob, bot = await town.client("bob"), await town.client("bot")
        for room_id in rooms:
            await bob.subscribed("room-messages", room_id)
        await bot.subscribed("room-messages", "__my_messages__")
        expected = []
        for number in range(60):
            if number == 20:
                cable.cut()
            if number == 40:
                await asyncio.sleep(1.0)
                await cable.mend()
            for room_id in rooms:
                await town.hub.message(room_id, f"{room_id}-{number}")
            expected.append(number)
        for room_id in rooms:
            await bob.hears("room-messages", room_id, 60, within=15)
            assert bob.texts(room_id) == [f"{room_id}-{number}" for number in expected]
        await bot.hears("room-messages", "__my_messages__", 300, within=15)
        heard = [args[0]["_id"] for args in bot.heard("room-messages", "__my_messages__")]
        for room_id in rooms:
            mine = [text for text in heard if text.startswith(f"{room_id}-")]
            assert mine == [f"{room_id}-{number}" for number in expected]
        assert bob.closed is None


async def test_a_lost_log_closes_those_who_listen_with_1012(nats_url: str) -> None:
    async with world(nats_url) as town:
        town.room("R1", "bob")
        listening, silent = await town.client("bob"), await town.anonymous()
        await listening.subscribed("room-messages", "R1")
        town.hub.epoch += 1
        await town.hub.begin(resync=True)
        await eventually(lambda: listening.closed == (1012, "SERVICE_RESTART"))
        assert silent.closed is None
        again = await town.client("bob")
        await again.subscribed("room-messages", "R1")
        await town.hub.message("R1", "and on")
        await again.hears("room-messages", "R1")


async def test_a_client_that_does_not_read_is_closed_and_harms_nobody(nats_url: str) -> None:
    async with world(
        nats_url, soft_buffered_bytes=64 * 1024, max_buffered_bytes=1280 * 1024
    ) as town:
        town.room("R1", "slow", "quick")
        quick = await town.client("quick")
        await quick.subscribed("room-messages", "R1")
        slow = await town.client("slow")
        await slow.subscribed("room-messages", "R1")
        slow.stop_reading()
        text = "x" * 20_000
        for number in range(400):
            await town.hub.message("R1", f"{number}{text}")
        await quick.hears("room-messages", "R1", 400, within=20)
        await eventually(lambda: len(town.streamer.router.sessions) == 1, within=20)


async def test_health_tells_when_nats_is_away(nats_url: str) -> None:
    async with Cable(nats_url) as cable, world(nats_url, cable.url) as town:
        url = f"http://127.0.0.1:{town.streamer.listener.port}/health"
        async with aiohttp.ClientSession() as http:

            async def status() -> int:
                async with http.get(url) as answer:
                    return answer.status

            assert await status() == 200
            cable.cut()

            async def is_away() -> bool:
                return await status() == 500

            await eventually(is_away)
            await cable.mend()
