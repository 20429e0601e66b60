"""Holes that the protocol's first server had, tried on this one; see `coverage.DEFECTS`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubbub.ids import random_id
from hubbub.mongo import Database
from services.ddp_streamer.rates import Attempt, RateLimiter
from services.ddp_streamer.service import rules
from services.ddp_streamer.settings import StreamerSettings
from tests.conformance.conftest import Anonymous, Running, SignIn
from tests.conformance.ddp import CallFailed, opened
from tests.conformance.rest import PASSWORD, Rest, User
from tests.waiting import eventually

pytestmark = pytest.mark.conformance


async def test_09_and_26_one_session_ends_alone(
    rest: Rest, sign_in: SignIn, admin: User, ana: User, bo: User
) -> None:
    """However it is ended; and nobody ends those of somebody else."""
    by_socket, by_rest, stays = [await sign_in(ana) for _ in range(3)]
    attacker = await sign_in(bo)
    for endpoint in ("users.logout", "users.update"):
        body = {"userId": ana.id, "data": {"password": "x" * 12}}
        refused = await rest.ask("POST", f"/api/v1/{endpoint}", user=bo, body=body)
        assert refused.status in (400, 401, 403), endpoint
    await attacker.call("stream-notify-user", f"{ana.id}/force_logout", stays.session)
    for method in ("logoutOtherClients", "removeOtherTokens"):
        await attacker.call(method)
    await by_socket.call("logout")
    await rest.post("logout", User(ana.id, ana.username, PASSWORD, by_rest.token))

    assert await by_rest.closed(within=5.0) == 1008
    for client in (by_socket, stays, attacker):
        await client.settle()
    assert await stays.call("getUserRoles") is not None
    assert (await rest.get("me", ana))["_id"] == ana.id
    with pytest.raises(CallFailed):
        await by_socket.call("getUserRoles")
    await rest.post("users.logout", admin, userId=ana.id)
    assert await stays.closed(within=5.0) == 1008


async def test_10_nobody_is_locked_out_by_the_limits_of_others(
    hubbub: Running, rest: Rest, sign_in: SignIn, anonymous: Anonymous, ana: User, bo: User
) -> None:
    """Somebody who calls without end is refused, alone; wrong passwords for a name do not end
    its sign-ins; a client that comes back subscribes to everything at once."""
    limiter = RateLimiter(rules(StreamerSettings()))  # `hubbub up` has none
    noise = [
        limiter.check(Attempt("rooms/get", "noisy", bo.id, address="1"), 1.0) for _ in range(50)
    ]
    assert noise[-1] is not None
    assert limiter.check(Attempt("rooms/get", "victim", ana.id, address="1"), 1.0) is None
    subs = [Attempt("x", "again", ana.id, address="1", is_sub=True) for _ in range(200)]
    assert [one for one in subs if limiter.check(one, 1.0)] == []
    room_id = (await rest.post("channels.create", ana, name=f"c-{random_id(8)}"))["channel"]["_id"]
    victim = await sign_in(ana)
    guesser = await anonymous()
    codes = set()
    for _ in range(11):
        with pytest.raises(CallFailed) as refused:
            await guesser.login(ana.username, "a guess")
        codes.add(refused.value.code)
    assert "error-login-blocked-for-user" in codes
    assert await victim.call("getUserRoles") is not None
    assert (await rest.get("me", ana))["_id"] == ana.id
    async with opened(hubbub.websocket) as again:
        assert (await again.call("login", {"resume": ana.token}))["id"] == ana.id
        ids = [f"again-{number}" for number in range(200)]
        for sub_id in ids:
            event = f"{room_id}/{sub_id}"
            params = [event, False]
            await again.send(
                {"msg": "sub", "id": sub_id, "name": "stream-notify-room", "params": params}
            )
        await eventually(
            lambda: sum(len(one["subs"]) for one in again.all(msg="ready")) == len(ids), within=15
        )
        assert again.all(msg="nosub") == []


async def test_11_a_refused_send_is_no_success(
    rest: Rest, sign_in: SignIn, ana: User, bo: User, cy: User
) -> None:
    """To who is muted, in a read-only or an archived room, and from outside: by every door."""
    rooms = {}
    for name in ("muted", "read-only", "archived", "left"):
        body = {"name": f"{name}-{random_id(8)}", "members": [bo.username]}
        rooms[name] = (await rest.post("groups.create", ana, **body))["group"]["_id"]
    await rest.post("rooms.muteUser", ana, roomId=rooms["muted"], username=bo.username)
    await rest.post("groups.setReadOnly", ana, roomId=rooms["read-only"], readOnly=True)
    await rest.post("groups.kick", ana, roomId=rooms["left"], userId=bo.id)
    await rest.post("groups.archive", ana, roomId=rooms["archived"])
    client = await sign_in(bo)
    for name, room_id in rooms.items():
        message = {"_id": random_id(), "rid": room_id, "msg": "forbidden"}
        with pytest.raises(CallFailed) as refused:
            await client.call("sendMessage", message)
        assert refused.value.code is not None, name
        envelope = {"msg": "method", "id": "1", "method": "sendMessage", "params": [message]}
        answer = await rest.post("method.call/x", bo, message=json.dumps(envelope))
        assert "error" in json.loads(answer["message"]), name
        bodies: tuple[tuple[str, dict[str, Any]], ...] = (
            ("chat.sendMessage", {"message": message}),
            ("chat.postMessage", {"roomId": room_id, "text": "forbidden"}),
        )
        for endpoint, body in bodies:
            by_rest = await rest.ask("POST", f"/api/v1/{endpoint}", user=bo, body=body)
            assert by_rest.status in (400, 403), (name, endpoint)
            assert by_rest.body["success"] is False, (name, endpoint)
        history = await rest.get("groups.history", ana, roomId=room_id)
        assert "forbidden" not in str(history), name
    sent = await rest.post("chat.postMessage", ana, roomId=rooms["read-only"], text="allowed")
    assert sent["message"]["u"]["_id"] == ana.id


async def test_13_presence_and_typing_are_for_those_who_may(
    rest: Rest, sign_in: SignIn, anonymous: Anonymous, ana: User, bo: User, cy: User
) -> None:
    """Nobody watches without a login; nobody types where they are not, or as somebody else."""
    body = {"name": f"g-{random_id(8)}", "members": [bo.username]}
    room_id = (await rest.post("groups.create", ana, **body))["group"]["_id"]
    nobody, stranger, member = await anonymous(), await sign_in(cy), await sign_in(bo)
    listener = await sign_in(ana)
    for name in ("typing", "user-activity"):
        await listener.subscribe("stream-notify-room", f"{room_id}/{name}", False)
    watched = ({"added": [ana.id]}, {"useCollection": False, "args": [{"added": [ana.id]}]})
    for number, options in enumerate(watched):
        params = ["", options]
        await nobody.send(
            {"msg": "sub", "id": f"{number}", "name": "stream-user-presence", "params": params}
        )
    for number in range(len(watched)):
        ended = await nobody.wait(msg="nosub", id=f"{number}")
        assert ended["error"]["error"] == "not-allowed"
    await stranger.subscribe("stream-user-presence", "", {"added": [ana.id]})
    for client in (nobody, stranger):
        for name in (cy.username, ana.username, bo.username):
            await client.call("stream-notify-room", f"{room_id}/typing", name, True)
            await client.call(
                "stream-notify-room", f"{room_id}/user-activity", name, ["user-typing"]
            )
    await member.call("stream-notify-room", f"{room_id}/typing", ana.username, True)
    await member.call("stream-notify-room", f"{room_id}/typing", bo.username, True)

    await listener.event("notify-room", f"{room_id}/typing")
    await listener.event("notify-room", f"{room_id}/user-activity")
    await listener.settle()
    for name in ("typing", "user-activity"):
        told = [args[0] for args in listener.events("notify-room", f"{room_id}/{name}")]
        assert told == [bo.username], name
    await rest.post("users.setStatus", ana, status="busy", message="")
    await eventually(
        lambda: stranger.find(msg="changed", collection="stream-user-presence"), within=10
    )
    assert not [text for text in nobody.texts if ana.id in text and "changed" in text]


async def test_14_the_own_account_comes_without_secrets(
    rest: Rest, sign_in: SignIn, database: Database, ana: User
) -> None:
    """While tokens and the password change under a client that listens to its own account."""
    client = await sign_in(ana)
    for name in ("userData", "rooms-changed", "subscriptions-changed"):
        await client.subscribe("stream-notify-user", f"{ana.id}/{name}", False)
    await sign_in(ana)
    await rest.post("users.generatePersonalAccessToken", ana, tokenName="mine")
    await rest.post("users.updateOwnBasicInfo", ana, data={"bio": "the end"})
    await client.event(
        "notify-user", f"{ana.id}/userData", lambda one: one.get("diff", {}).get("bio") == "the end"
    )
    stored = await database["users"].find_one({"_id": ana.id})
    assert stored is not None
    tokens = [one["hashedToken"] for one in stored["services"]["resume"]["loginTokens"]]
    assert len(tokens) >= 3
    me = json.dumps(await rest.get("me", ana))
    for secret in (*tokens, stored["services"]["password"]["bcrypt"]):
        assert [text for text in client.texts if secret in text] == []
        assert secret not in me


async def test_14_private_settings_and_join_codes_are_for_those_who_may(
    rest: Rest, sign_in: SignIn, database: Database, admin: User, ana: User, bo: User
) -> None:
    """An administrator hears of a private setting and nobody else; a join code is told to
    nobody, when the room is made, changed, or joined."""
    privileged, ordinary, member = await sign_in(admin), await sign_in(ana), await sign_in(bo)
    await privileged.subscribe("stream-notify-logged", "private-settings-changed", False)
    with pytest.raises(CallFailed) as refused:
        await ordinary.subscribe("stream-notify-logged", "private-settings-changed", False)
    assert refused.value.code == "not-allowed"
    secret, setting = random_id(20), {"_id": f"Private_{random_id(6)}", "public": False}
    room = (await rest.post("channels.create", ana, name=f"c-{random_id(8)}"))["channel"]
    for client, user in ((ordinary, ana), (member, bo)):
        await client.subscribe("stream-notify-user", f"{user.id}/rooms-changed", False)
        await client.subscribe("stream-room-data", room["_id"], False)
    await rest.post("channels.setJoinCode", ana, roomId=room["_id"], joinCode=secret)
    try:
        await database["rocketchat_settings"].insert_one(
            {**setting, "value": secret, "type": "string", "group": "General"}
        )
        await privileged.event(
            "notify-logged",
            "private-settings-changed",
            lambda _, one: one["_id"] == setting["_id"],
        )
        with pytest.raises(CallFailed):
            await member.call("joinRoom", room["_id"], "a guess")
        assert await member.call("joinRoom", room["_id"], secret) is not None
        await member.event(
            "notify-user", f"{bo.id}/rooms-changed", lambda _, one: one["_id"] == room["_id"]
        )
        info = await rest.get("channels.info", bo, roomId=room["_id"])
        assert info["channel"]["joinCodeRequired"] is True
        for client in (ordinary, member):
            assert [text for text in client.texts if secret in text] == []
        assert secret not in str(info)
    finally:
        await database["rocketchat_settings"].delete_one({"_id": setting["_id"]})


async def test_14_nobody_learns_who_starred(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    body = {"name": f"g-{random_id(8)}", "members": [bo.username]}
    room_id = (await rest.post("groups.create", ana, **body))["group"]["_id"]
    watching = await sign_in(bo)
    await watching.subscribe("stream-room-messages", room_id, False)
    sent = await rest.post("chat.postMessage", ana, roomId=room_id, text="a star")
    message_id = sent["message"]["_id"]
    await rest.post("chat.starMessage", ana, messageId=message_id)
    await rest.post("chat.react", ana, messageId=message_id, emoji="tada")

    (seen,) = await watching.event("room-messages", room_id, lambda m: bool(m.get("reactions")))
    assert "starred" not in seen
    read = await rest.get("chat.getMessage", bo, msgId=message_id)
    assert "starred" not in read["message"]
    own = await rest.get("chat.getMessage", ana, msgId=message_id)
    assert own["message"]["starred"] == [{"_id": ana.id}]
    assert (await rest.get("chat.getStarredMessages", bo, roomId=room_id))["messages"] == []


async def test_20_a_socket_that_signed_out_hears_nothing_more(
    rest: Rest, sign_in: SignIn, ana: User, bo: User
) -> None:
    """It stays open, as nobody's: its subscriptions are over and its calls refused."""
    body = {"name": f"g-{random_id(8)}", "members": [bo.username]}
    room_id = (await rest.post("groups.create", ana, **body))["group"]["_id"]
    left, stays = await sign_in(bo), await sign_in(bo)
    for client in (left, stays):
        await client.subscribe("stream-room-messages", room_id, False)
        await client.subscribe("stream-room-messages", "__my_messages__", False)
        await client.subscribe("stream-notify-user", f"{bo.id}/subscriptions-changed", False)
    await left.call("logout")
    await rest.post("chat.postMessage", ana, roomId=room_id, text="not for the one who left")

    await stays.event("room-messages", room_id, lambda m: "not for" in m["msg"])
    await stays.event("room-messages", "__my_messages__", lambda m, _: "not for" in m["msg"])
    await left.settle()
    assert left.close_code is None
    assert [text for text in left.texts if "not for" in text] == []
    with pytest.raises(CallFailed) as refused:
        await left.call("sendMessage", {"rid": room_id, "msg": "x"})
    assert refused.value.code == "error-invalid-user"
    assert await left.call("rooms/get") == []
    assert room_id in str(await stays.call("rooms/get"))


async def test_32_session_ids_cannot_be_guessed(hubbub: Running, ana: User) -> None:
    """They hold no clock and no counter, and one that differs by a character is nobody's."""
    sessions = []
    for _ in range(20):
        async with opened(hubbub.websocket) as client:
            sessions.append(client.session)
    assert len(set(sessions)) == 20
    assert min(map(len, sessions)) >= 17
    for place in range(min(map(len, sessions)) - 4):
        assert len({session[place : place + 4] for session in sessions}) > 10, place
    async with opened(hubbub.websocket) as client:
        await client.login(ana.username, ana.password)
        session = client.session
    guess = session[:-1] + ("A" if session[-1] != "A" else "B")
    async with opened(hubbub.websocket, handshake=False) as thief:
        await thief.connect(guess)
        with pytest.raises(CallFailed):
            await thief.call("getUserRoles")
    async with opened(hubbub.websocket, handshake=False) as rightful:
        await rightful.connect(session)
        assert await rightful.call("getUserRoles") is not None
