"""Nobody hears what is not for them, and nobody writes into streams of others.

CVE-2026-72918 (anybody wrote to another user's `stream-notify-user`), Mattermost CVE-2026-2578
(deletions told what was deleted), Zulip CVE-2022-31017 (edits told more than the history).
Made from the table of streams.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from hubbub.ids import random_id
from services.ddp_streamer.streams import MY_MESSAGES_EVENT, STREAMS
from tests.conformance.conftest import Anonymous, NewUser, Running, SignIn
from tests.conformance.ddp import Ddp
from tests.conformance.rest import Rest, User
from tests.security.attacker import Attacker, over_socket
from tests.security.calls import MethodCall
from tests.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(60)]

OF_USERS: Final = (
    "notification rooms-changed subscriptions-changed userData message force_logout"
    " uiInteraction webrtc otr e2ekeyRequest video-conference"
).split()
OF_ROOMS: Final = "typing user-activity deleteMessage deleteMessageBulk messagesRead".split()
OF_ALL: Final = (
    "public-settings-changed private-settings-changed permissions-changed roles-change"
    " Users:NameChanged Users:Deleted updateAvatar user-status roles"
).split()


def events_of(stream: str, room_id: str, user_id: str) -> Iterator[str]:
    """Event names of a stream, about a room or a user that is somebody else's."""
    if stream in ("room-messages", "room-data"):
        yield room_id
    elif stream in ("notify-room", "notify-room-users"):
        yield from (f"{room_id}/{name}" for name in (*OF_ROOMS, *OF_USERS[-4:]))
    elif stream == "notify-user":
        yield from (f"{user_id}/{name}" for name in OF_USERS)
    elif stream in ("notify-all", "notify-logged", "roles"):
        yield from OF_ALL
    else:
        yield from ("", room_id, user_id, "any")


def all_events(room_id: str, user_id: str) -> list[tuple[str, str]]:
    return [
        (stream, event)
        for stream in sorted(STREAMS)
        for event in events_of(stream, room_id, user_id)
    ]


async def listen(client: Ddp, room_id: str, *user_ids: str) -> set[tuple[str, str]]:
    """Subscribe to everything there is; what was granted."""
    about_all = {about for user_id in user_ids for about in all_events(room_id, user_id)}
    wanted = {f"s{client.next_id()}": about for about in sorted(about_all)}
    for sub_id, (stream, event) in wanted.items():
        await client.send(
            {"msg": "sub", "id": sub_id, "name": f"stream-{stream}", "params": [event, False]}
        )
    await client.subscribe("stream-room-messages", MY_MESSAGES_EVENT, False)

    def answered() -> bool:
        return all(
            client.find(msg="ready", subs=[one]) or client.find(msg="nosub", id=one)
            for one in wanted
        )

    await eventually(answered, within=20.0, what="an answer to every subscription")
    return {about for one, about in wanted.items() if client.find(msg="ready", subs=[one])}


async def test_zulip_cve_2022_31017_nothing_of_a_room_reaches_others(
    rest: Rest,
    sign_in: SignIn,
    anonymous: Anonymous,
    ana: User,
    bo: User,
    cy: User,
    new_user: NewUser,
) -> None:
    """No message, edit, mark, deletion, typing or change of the room reaches who was never in
    it, who was removed, or who is not signed in; members hear all of it."""
    dora = await new_user("dora")
    names = [bo.username, dora.username]
    room = (await rest.post("groups.create", ana, name=f"g-{random_id(8)}", members=names))["group"]
    room_id, secret = room["_id"], f"secret{random_id(12)}"
    owner, member = await sign_in(ana), await sign_in(bo)
    stranger, removed, nobody = await sign_in(cy), await sign_in(dora), await anonymous()
    assert ("room-messages", room_id) in await listen(member, room_id, bo.id)
    assert ("room-messages", room_id) in await listen(removed, room_id, dora.id)
    early = await owner.call("sendMessage", {"_id": random_id(), "rid": room_id, "msg": "early"})
    await removed.event("room-messages", room_id, lambda m, *_: m["_id"] == early["_id"])
    await owner.call("removeUserFromRoom", {"rid": room_id, "username": dora.username})
    for client in (stranger, nobody):
        granted = await listen(client, room_id, ana.id, bo.id)
        about = {
            stream
            for stream, event in granted
            if any(one in event for one in (room_id, ana.id, bo.id))
        }
        # There the name of an event means nothing: who is watched is said in the options.
        assert about <= {"user-presence", "apps"}
    barrier = (await rest.post("channels.create", ana, name=f"c-{random_id(8)}"))["channel"]["_id"]
    for client in (stranger, removed):
        await client.call("joinRoom", barrier)

    later = await owner.call("sendMessage", {"_id": random_id(), "rid": room_id, "msg": secret})
    await owner.call(
        "updateMessage", {"_id": early["_id"], "rid": room_id, "msg": f"edited {secret}"}
    )
    await owner.call("setReaction", ":tada:", early["_id"], True)
    await owner.call("pinMessage", {"_id": early["_id"], "rid": room_id})
    await owner.call("saveRoomSettings", room_id, "roomTopic", secret)
    await owner.call(
        "stream-notify-room", f"{room_id}/user-activity", ana.username, ["user-typing"]
    )
    await owner.call("deleteMessage", {"_id": later["_id"]})
    (deleted,) = await member.event("notify-room", f"{room_id}/deleteMessage")
    await rest.post("chat.postMessage", ana, roomId=barrier, text="the end")

    assert deleted == {"_id": later["_id"]}
    for client in (stranger, removed):
        await client.event("room-messages", MY_MESSAGES_EVENT, lambda m, *_: m["rid"] == barrier)
    await nobody.settle()
    for client in (stranger, removed, nobody):
        heard = [text for text in client.texts if secret in text or later["_id"] in text]
        assert heard == []
        assert not client.events("notify-room", f"{room_id}/user-activity")
    assert [text for text in stranger.texts + nobody.texts if early["_id"] in text] == []
    for event in (room_id, MY_MESSAGES_EVENT):
        await member.event("room-messages", event, lambda m, *_: secret in m["msg"])
        await member.event("room-messages", event, lambda m, *_: m["msg"] == f"edited {secret}")
    await member.event("notify-room", f"{room_id}/user-activity")
    await member.event("room-data", room_id, lambda one: one.get("topic") == secret)


async def test_cve_2026_72918_nobody_writes_into_streams(
    rest: Rest, sign_in: SignIn, anonymous: Anonymous, ana: User, bo: User, cy: User
) -> None:
    """Whatever is written, to a user, a room or all, by a stranger or by nobody: it reaches
    nobody, and no other door takes it. What a friend may relay arrives."""
    room = await rest.post("groups.create", ana, name=f"g-{random_id(8)}", members=[bo.username])
    room_id, forged = room["group"]["_id"], f"forged{random_id(12)}"
    victims = [await sign_in(ana), await sign_in(bo)]
    for client, user in zip(victims, (ana, bo), strict=True):
        await listen(client, room_id, user.id)
    everywhere = [
        MethodCall(
            f"stream-{stream}",
            [event, {"title": forged, "msg": forged}, [forged]],
            reads=False,
            anonymous=True,
            is_about_room=True,
        )
        for user in (ana, bo)
        for stream, event in all_events(room_id, user.id)
    ]
    typed: list[list[Any]] = [
        [f"{room_id}/user-activity", name, ["user-typing"], {"tmid": forged}]
        for name in (cy.username, ana.username)
    ]
    typing = [MethodCall("stream-notify-room", params, False, True, True) for params in typed]
    stranger = await sign_in(cy)
    for attacker in (stranger, await anonymous()):
        for said in await over_socket(attacker, [*everywhere, *typing]):
            assert said.code in (None, 404), str(said)
            assert "result" not in json.loads(said.text), str(said)

    direct = (await stranger.call("createDirectMessage", ana.username))["rid"]
    await stranger.call("stream-notify-user", f"{ana.id}/otr", "a relay between friends")
    await victims[0].event("notify-user", f"{ana.id}/otr", lambda one: one.startswith("a relay"))
    await victims[1].call(
        "stream-notify-room", f"{room_id}/user-activity", bo.username, ["user-typing"]
    )
    await victims[0].event("notify-room", f"{room_id}/user-activity")

    assert direct
    for client in victims:
        await client.settle()
        assert [text for text in client.texts if forged in text] == []
    activity = victims[0].events("notify-room", f"{room_id}/user-activity")
    assert [args[0] for args in activity] == [bo.username]


async def test_streams_are_written_on_sockets_only(
    hubbub: Running, rest: Rest, ana: User, cy: User
) -> None:
    """`method.call` has no such methods."""
    for user in (cy, None):
        attacker = Attacker(rest._session, hubbub.url, user)
        calls = [
            MethodCall(f"stream-{stream}", [f"{ana.id}/notification", {}], False, True, True)
            for stream in STREAMS
        ]
        assert {said.code for said in await attacker.methods(calls)} == {400}
