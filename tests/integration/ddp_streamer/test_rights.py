"""Rights that are lost or won while clients listen, and what clients tell each other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest

from hubbub.contracts.event_log import (
    EVERYONE,
    LOGGED,
    Kind,
    RightsChanged,
    RoomAccessChanged,
    room_audience,
    user_audience,
)
from hubbub.ddp.stream import stream_frame
from services.ddp_streamer.audiences.interest import Interest
from tests.integration.ddp_streamer.world import DdpClient, World, world
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture
async def town(nats_url: str) -> AsyncIterator[World]:
    async with world(nats_url) as running:
        yield running


async def test_a_right_that_was_seen_too_late_to_be_lost_is_lost_two_seconds_later(
    town: World,
) -> None:
    """Whoever answers may hear of the change after the streamer did."""
    town.room("C1", "ann", kind="c")
    bob, ann = await town.client("bob"), await town.client("ann")
    subs = [
        await bob.subscribed("room-messages", "C1"),
        await bob.subscribed("notify-room", "C1/typing"),
    ]
    await ann.subscribed("room-messages", "C1")
    await town.hub.control(EVERYONE, RightsChanged(what="permissions"))
    await town.hub.control(room_audience("C1"), RoomAccessChanged(room_id="C1"))
    await town.hub.message("C1", "still")
    await eventually(lambda: bob.texts("C1") == ["still"])
    town.facts.rooms["C1"] = "p"
    for sub_id in subs:
        assert (await bob.ended(sub_id))["error"]["error"] == "not-allowed"
    await town.hub.message("C1", "later")
    await eventually(lambda: ann.texts("C1") == ["still", "later"])
    assert bob.texts("C1") == ["still"]


async def test_a_sub_is_ready_when_its_room_is_heard_again(
    town: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes between the client's fetching and the room's new beginning would reach nobody."""
    town.room("R1", "bob")
    bob = await town.client("bob")
    audiences, gate = town.streamer.audiences, asyncio.Event()
    opening = audiences._open

    async def late(batch: list[Interest]) -> None:
        await gate.wait()
        await opening(batch)

    town.facts.authorization_away = True
    sub_id = await bob.sub("room-messages", "R1")
    await eventually(lambda: audiences.is_routed(room_audience("R1")))
    monkeypatch.setattr(audiences, "_open", late)
    interest = audiences._interests.get(room_audience("R1"))
    assert interest is not None
    audiences._continuity.lose([interest], "for this test", "failed")
    town.facts.authorization_away = False
    # It has been decided, and waits for its room; or it has been answered.
    await eventually(lambda: interest.references == 2 or bob.frames[-1]["msg"] == "ready")
    await bob.send(msg="ping", id="p")
    await bob.got(lambda frame: frame.get("msg") == "pong")
    assert bob.frames[-1]["msg"] == "pong"
    gate.set()
    assert (await bob.answered(sub_id))["msg"] == "ready"
    await town.hub.message("R1", "heard")
    await bob.hears("room-messages", "R1")


async def test_without_preview_only_members_read(town: World) -> None:
    town.room("C1", "ann", kind="c")
    bob, ann = await town.client("bob"), await town.client("ann")
    for client in (bob, ann):
        await client.subscribed("room-messages", "C1")
    town.facts.no_preview = {"ann", "bob"}
    await town.hub.control(EVERYONE, RightsChanged(what="permissions"))
    await bob.got(lambda frame: frame.get("msg") == "nosub")
    await town.hub.message("C1", "m1")
    await eventually(lambda: ann.texts("C1") == ["m1"])
    assert not any(frame.get("msg") == "nosub" for frame in ann.frames)


async def test_a_discussion_ends_with_the_room_that_it_belongs_to(town: World) -> None:
    town.room("PARENT", "bob")
    town.room("TALK", "bob")
    bob = await town.client("bob")
    sub_id = await bob.subscribed("room-messages", "TALK")
    town.facts.members["bob"].discard("TALK")  # what the parent gave
    await town.leave("bob", "PARENT")
    assert (await bob.ended(sub_id))["error"]["error"] == "not-allowed"


async def test_whoever_is_not_signed_in_reads_while_the_workspace_allows_it(
    nats_url: str,
) -> None:
    async with world(nats_url, anonymous_timeout=1.0) as town:
        town.room("C1", kind="c")
        town.facts.settings["Accounts_AllowAnonymousRead"] = True
        await town.hub.control(EVERYONE, RightsChanged(what="settings"))
        await eventually(lambda: town.streamer._workspace.anonymous_read)
        stranger = await town.anonymous()
        sub_id = await stranger.subscribed("room-messages", "C1")
        await town.hub.message("C1", "m1")
        await eventually(lambda: stranger.texts("C1") == ["m1"])

        town.facts.settings["Accounts_AllowAnonymousRead"] = False
        await town.hub.control(EVERYONE, RightsChanged(what="settings"))
        assert (await stranger.ended(sub_id))["error"]["error"] == "not-allowed"
        await eventually(lambda: stranger.closed == (1008, "POLICY"), within=10)


async def test_settings_are_told_to_those_who_may_see_them(town: World) -> None:
    town.facts.permissions = {
        "bob": {"view-privileged-setting"},
        "ann": {"manage-selected-settings", "change-setting-X"},
    }
    bob, ann = await town.client("bob"), await town.client("ann")
    for client in (bob, ann):
        await client.subscribed("notify-logged", "private-settings-changed")
    for setting_id in ("Y", "X"):
        args = orjson.dumps(["updated", {"_id": setting_id, "value": 1}])
        await town.hub.publish(
            LOGGED,
            stream_frame("notify-logged", "private-settings-changed", args),
            stream="notify-logged",
            key="private-settings-changed",
        )
    await bob.hears("notify-logged", "private-settings-changed", 2)
    await ann.hears("notify-logged", "private-settings-changed", 1)
    heard = ann.heard("notify-logged", "private-settings-changed")
    assert [args[1]["_id"] for args in heard] == ["X"]


# --- what clients tell each other -----------------------------------------------------------------


async def _ears(town: World, event: str, *users: str) -> dict[str, DdpClient]:
    clients = {}
    for user in users:
        clients[user] = await town.client(user)
        await clients[user].subscribed("notify-user", f"{user}/{event}")
    return clients


async def test_calls_reach_the_other_members_of_a_room(town: World) -> None:
    town.room("R1", "ann", "bob", "cy")
    clients = await _ears(town, "video-conference", "ann", "bob", "cy", "dan")
    answer = await clients["ann"].call(
        "stream-notify-room-users", "R1/video-conference", {"action": "call"}
    )
    assert "error" not in answer
    for user in ("bob", "cy"):
        await clients[user].hears("notify-user", f"{user}/video-conference")
        assert clients[user].heard("notify-user", f"{user}/video-conference") == [
            [{"action": "call"}]
        ]
    for user in ("ann", "dan"):
        assert clients[user].heard("notify-user", f"{user}/video-conference") == []


async def test_calls_reach_who_shares_a_direct_room(town: World) -> None:
    town.room("annbob", "ann", "bob", kind="d")
    clients = await _ears(town, "webrtc", "ann", "bob", "cy")
    for user in ("bob", "cy"):
        answer = await clients["ann"].call("stream-notify-user", f"{user}/webrtc", "call", {})
        assert "error" not in answer
    await clients["bob"].hears("notify-user", "bob/webrtc")
    assert clients["bob"].heard("notify-user", "bob/webrtc") == [["call", {}]]
    assert clients["cy"].heard("notify-user", "cy/webrtc") == []


async def test_what_may_not_be_said_has_no_effect_and_is_no_error(town: World) -> None:
    town.room("R1", "ann", "bob")
    town.room("annbob", "ann", "bob", kind="d")
    town.room("R2", "bob")
    clients = await _ears(town, "notification", "ann", "bob")
    await clients["bob"].subscribed("notify-user", "bob/webrtc")
    ann, stranger = clients["ann"], await town.anonymous()
    for client, method, params in (
        (ann, "stream-notify-user", ["bob/notification", {"text": "fake"}]),
        (ann, "stream-notify-user", ["bob/force_logout"]),
        (ann, "stream-notify-room-users", ["R1/notification", {"text": "fake"}]),
        (ann, "stream-notify-room-users", ["R2/webrtc", "not my room"]),
        (ann, "stream-notify-room-users", ["R1/webrtc", "x" * 20_000]),
        (ann, "stream-notify-room-users", [{"$ne": 1}, "x"]),
        (ann, "stream-notify-user", []),
        (stranger, "stream-notify-user", ["bob/webrtc", "x"]),
        (stranger, "stream-notify-room-users", ["R1/webrtc", "x"]),
    ):
        assert "error" not in await client.call(method, *params)
    await town.hub.publish(
        user_audience("bob"),
        stream_frame("notify-user", "bob/notification", b'["true"]'),
        stream="notify-user",
        key="bob/notification",
        kind=Kind.FRAME,
    )
    await clients["bob"].hears("notify-user", "bob/notification")
    assert clients["bob"].heard("notify-user", "bob/notification") == [["true"]]
    assert clients["bob"].heard("notify-user", "bob/webrtc") == []
