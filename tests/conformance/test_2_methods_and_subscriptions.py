"""Conformance: methods and subscriptions. Tests are named after the checklist's numbers."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import Anonymous, Running, SignIn
from tests.conformance.ddp import CallFailed, opened
from tests.conformance.rest import Rest, User

pytestmark = pytest.mark.conformance


@pytest.mark.parametrize(
    ("method", "params", "ends"),
    [
        pytest.param("license:isEnterprise", [], "result", id="success"),
        pytest.param("getRoomIdByNameOrId", ["no-such-room"], "error", id="error"),
        pytest.param("no-such-method", [], "error", id="unknown"),
    ],
)
async def test_016_one_result_then_one_updated(
    sign_in: SignIn, ana: User, method: str, params: list[str], ends: str
) -> None:
    """Two frames, in this order, however the method ends."""
    client = await sign_in(ana)
    await client.send({"msg": "method", "id": "x", "method": method, "params": params})
    await client.answer("x")
    await client.settle()

    kinds = [
        frame["msg"]
        for frame in client.frames
        if frame.get("id") == "x" or frame.get("methods") == ["x"]
    ]
    assert kinds == ["result", "updated"]
    result = client.find(msg="result", id="x")
    assert result is not None
    assert set(result) == {"msg", "id", ends}


async def test_017_falsy_results_are_results(sign_in: SignIn, ana: User) -> None:
    """`false` and `[]` are there, and `error` is not."""
    client = await sign_in(ana)
    for method, value in (("license:isEnterprise", False), ("listCustomSounds", [])):
        call = client.next_id()
        await client.send({"msg": "method", "id": call, "method": method, "params": []})
        assert await client.answer(call) == {"msg": "result", "id": call, "result": value}


async def test_018_the_error_object_is_complete(sign_in: SignIn, ana: User) -> None:
    """Five fields, and a number stays a number."""
    client = await sign_in(ana)
    with pytest.raises(CallFailed) as caught:
        await client.call("no-such-method")

    assert caught.value.error == {
        "isClientSafe": True,
        "errorType": "Meteor.Error",
        "error": 404,
        "reason": "Method 'no-such-method' not found",
        "message": "Method 'no-such-method' not found [404]",
    }


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("subscriptions/get", [{}]),
        ("rooms/get", [None]),
        ("permissions/get", []),
        ("public-settings/get", []),
        ("getUserRoles", []),
        ("loadHistory", ["GENERAL", None, 20, None, True]),
        ("getRoomIdByNameOrId", ["general"]),
        ("readMessages", ["GENERAL", False]),
        ("spotlight", ["gen", [], {"users": True, "rooms": True}]),
    ],
)
async def test_019_a_surplus_parameter_changes_nothing(
    sign_in: SignIn, ana: User, method: str, params: list[Any]
) -> None:
    """One client appends its two-factor code to every call."""
    client = await sign_in(ana)
    padded = params + [None] * (6 - len(params)) + [""]

    plain, surplus = await client.call(method, *params), await client.call(method, *padded)
    assert type(plain) is type(surplus)
    if isinstance(plain, list):
        assert len(plain) == len(surplus)


async def test_020_subs_behind_a_login_have_its_rights(hubbub: Running, ana: User) -> None:
    """All are sent at once on a fresh socket."""
    async with opened(hubbub.websocket, handshake=False) as client:
        await client.send(
            {"msg": "connect", "version": "1", "support": ["1", "pre2", "pre1"]},
            {"msg": "method", "method": "login", "params": [{"resume": ana.token}], "id": "1"},
            *(
                {"msg": "sub", "id": name, "name": stream, "params": [key, False]}
                for name, stream, key in (
                    ("a", "stream-room-messages", "GENERAL"),
                    ("b", "stream-notify-user", f"{ana.id}/subscriptions-changed"),
                    ("c", "stream-notify-logged", "roles-change"),
                )
            ),
        )

        for name in "abc":
            await client.wait_ready(name)
        assert not client.all(msg="nosub")


async def test_021_one_id_per_ready(sign_in: SignIn, ana: User) -> None:
    """Some clients look at the first one only."""
    client = await sign_in(ana)
    names = [f"n{number}" for number in range(50)]
    await client.send(
        *(
            {
                "msg": "sub",
                "id": name,
                "name": "stream-notify-user",
                "params": [f"{ana.id}/e{name}", False],
            }
            for name in names
        )
    )
    for name in names:
        await client.wait_ready(name)

    assert all(len(frame["subs"]) == 1 for frame in client.all(msg="ready"))


@pytest.mark.parametrize(
    ("options", "added"),
    [
        pytest.param(True, True, id="true"),
        pytest.param({"useCollection": True, "args": []}, True, id="object"),
        pytest.param(False, False, id="false"),
        pytest.param({"useCollection": False}, False, id="object without"),
    ],
)
async def test_022_use_collection(sign_in: SignIn, ana: User, options: Any, added: bool) -> None:
    """The document that old clients hang events on comes before `ready`."""
    client = await sign_in(ana)
    subscription = await client.subscribe("stream-room-messages", "GENERAL", options)

    document = {
        "msg": "added",
        "collection": "stream-room-messages",
        "id": "id",
        "fields": {"eventName": "GENERAL"},
    }
    assert (document in client.frames) is added
    if added:
        ready = {"msg": "ready", "subs": [subscription]}
        assert client.frames.index(document) < client.frames.index(ready)


async def test_023_unsub_is_always_answered(sign_in: SignIn, ana: User) -> None:
    """Known or not, without an error; afterwards nothing comes."""
    client = await sign_in(ana)
    subscription = await client.subscribe("stream-room-messages", "GENERAL", False)

    assert await client.unsubscribe(subscription) == {"msg": "nosub", "id": subscription}
    assert await client.unsubscribe("never-seen") == {"msg": "nosub", "id": "never-seen"}
    text = random_id()
    await client.call("sendMessage", {"rid": "GENERAL", "msg": text})
    await client.settle()
    assert not client.events("room-messages", "GENERAL")


async def test_024_the_same_id_twice(sign_in: SignIn, ana: User) -> None:
    """Two `ready`, one delivery, and one `unsub` ends it."""
    client = await sign_in(ana)
    for _ in range(2):
        await client.subscribe("stream-room-messages", "GENERAL", False, id="same")
    await client.call("sendMessage", {"_id": (first := random_id()), "rid": "GENERAL", "msg": "1"})
    await client.event("room-messages", "GENERAL", lambda message: message["_id"] == first)
    await client.unsubscribe("same")
    await client.call("sendMessage", {"rid": "GENERAL", "msg": "2"})
    await client.settle()

    seen = [m for m, *_ in client.events("room-messages", "GENERAL") if m["u"]["_id"] == ana.id]
    assert [message["_id"] for message in seen] == [first]


async def test_024_a_refusal_ends_what_had_that_id(sign_in: SignIn, ana: User) -> None:
    """`nosub` is the end for the client, so nothing may come any more."""
    client = await sign_in(ana)
    await client.subscribe("stream-room-messages", "__my_messages__", False)
    await client.subscribe("stream-room-messages", "GENERAL", False, id="same")
    refused = {"msg": "sub", "id": "same", "name": "stream-room-messages", "params": ["none"]}
    await client.send(refused)
    assert (await client.wait(msg="nosub", id="same"))["error"]["error"] == "not-allowed"
    unheard = await client.call("sendMessage", {"rid": "GENERAL", "msg": "unheard"})
    # Another subscription may hear what is still under way when it begins. The same event shows
    # when it is not any more.
    await client.event("room-messages", "__my_messages__", lambda m, *_: m["_id"] == unheard["_id"])
    await client.subscribe("stream-room-messages", "GENERAL", False, id="other")
    heard = await client.call("sendMessage", {"rid": "GENERAL", "msg": "heard"})
    await client.event("room-messages", "GENERAL", lambda m: m["_id"] == heard["_id"])

    seen = {message["_id"] for message, *_ in client.events("room-messages", "GENERAL")}
    assert unheard["_id"] not in seen


async def test_025_two_ids_for_one_event(sign_in: SignIn, ana: User) -> None:
    """One frame per event and socket; one id may go."""
    client = await sign_in(ana)
    one = await client.subscribe("stream-room-messages", "GENERAL", False)
    await client.subscribe("stream-room-messages", "GENERAL", False)
    ids = [random_id(), random_id()]
    await client.call("sendMessage", {"_id": ids[0], "rid": "GENERAL", "msg": "1"})
    await client.unsubscribe(one)
    await client.call("sendMessage", {"_id": ids[1], "rid": "GENERAL", "msg": "2"})
    await client.event("room-messages", "GENERAL", lambda message: message["_id"] == ids[1])
    await client.settle()

    seen = [m["_id"] for m, *_ in client.events("room-messages", "GENERAL") if m["_id"] in ids]
    assert seen == ids


async def test_026_publications_that_are_not_streams(sign_in: SignIn, ana: User) -> None:
    """Compatibility ones are ready, unknown ones are 404, an empty event name is an error."""
    client = await sign_in(ana)
    for name in ("userData", "activeUsers", "meteor.loginServiceConfiguration"):
        await client.subscribe(name)

    for name, params, code in (
        ("no-such-publication", [], 404),
        ("stream-no-such-stream", ["x"], 404),
        ("stream-notify-logged", [""], "invalid-event-name"),
    ):
        with pytest.raises(CallFailed) as caught:
            await client.subscribe(name, *params)
        assert caught.value.code == code


@pytest.mark.parametrize(
    "options",
    [
        {"useCollection": False, "args": [None]},
        {"useCollection": False, "args": [False]},
        {"useCollection": False, "args": ["GENERAL"]},
        {"useCollection": False, "args": []},
        "x",
        7,
        None,
    ],
)
async def test_028_odd_options_are_tolerated(sign_in: SignIn, ana: User, options: Any) -> None:
    """Clients really send these."""
    client = await sign_in(ana)

    await client.subscribe("stream-room-messages", "GENERAL", options)


async def test_055_everything_a_web_client_subscribes_to(
    sign_in: SignIn, ana: User, rest: Rest
) -> None:
    """The burst of the official load tester at login, and its four for a room."""
    client = await sign_in(ana)
    wanted: list[tuple[str, str]] = [
        *(
            ("stream-notify-logged", name)
            for name in (
                "deleteCustomSound updateCustomSound updateEmojiCustom deleteEmojiCustom"
                " user-status permissions-changed roles-change updateAvatar Users:NameChanged"
                " Users:Deleted deleteCustomUserStatus updateCustomUserStatus"
                " private-settings-changed"
            ).split()
            if name != "private-settings-changed"
        ),
        *(("stream-notify-all", name) for name in ("public-settings-changed", "license")),
        *(
            ("stream-notify-user", f"{ana.id}/{name}")
            for name in (
                "message subscriptions-changed rooms-changed notification userData uiInteraction"
                " webrtc otr banners force_logout video-conference e2ekeyRequest"
            ).split()
        ),
        *(
            ("stream-apps", name)
            for name in (
                "app/added app/removed app/updated app/statusUpdate app/settingUpdated"
                " command/added command/disabled command/updated command/removed"
            ).split()
        ),
        ("stream-roles", "roles"),
        ("stream-room-messages", "GENERAL"),
        *(
            ("stream-notify-room", f"GENERAL/{name}")
            for name in ("user-activity", "deleteMessage", "deleteMessageBulk")
        ),
    ]
    ids = {client.next_id(): item for item in wanted}
    await client.send(
        *(
            {"msg": "sub", "id": name, "name": stream, "params": [key, False]}
            for name, (stream, key) in ids.items()
        )
    )

    for name in ids:
        await client.wait_ready(name)
    for name in ("userData", "activeUsers"):
        await client.subscribe(name)


async def test_095_a_sub_before_the_login_waits_for_it(anonymous: Anonymous, ana: User) -> None:
    """On a young socket a refusal for want of a login is held back, and delays nobody."""
    client = await anonymous()
    await client.send(
        {"msg": "sub", "id": "early", "name": "stream-notify-logged", "params": ["x", False]},
        {"msg": "method", "id": "m", "method": "license:isEnterprise", "params": []},
    )
    await client.answer("m", within=10.0)
    await client.login(ana.username, ana.password)

    await client.wait_ready("early")


async def test_095_without_a_login_it_is_refused(anonymous: Anonymous) -> None:
    """After three seconds."""
    client = await anonymous()

    with pytest.raises(CallFailed) as caught:
        await client.subscribe("stream-notify-logged", "x", False)
    assert caught.value.error == {
        "isClientSafe": True,
        "errorType": "Meteor.Error",
        "error": "not-allowed",
        "message": "[not-allowed]",
    }
