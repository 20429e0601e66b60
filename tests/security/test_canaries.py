"""Secrets that lie in the database beside what may be shown are in no answer and no frame.

CVE-2026-23477 and CVE-2026-49278 (secrets in answers of read endpoints), Mattermost
GHSA-q7rx-w656-fwmv (data of one user in a frame that all get). Planted as another program of the
same database would have them there: in users, rooms, memberships, messages and settings.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import pytest

from hubbub.contracts.workspace import INTERNAL_MESSAGE_FIELDS
from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.conftest import Anonymous, Running, SignIn
from tests.conformance.ddp import Ddp
from tests.conformance.rest import Rest, User
from tests.security.attacker import Attacker, Said, over_socket
from tests.security.calls import Things, endpoint_calls, method_calls
from tests.security.test_streams import listen
from tests.waiting import eventually

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(90)]

CANARY: Final = f"canary{random_id(12)}"
SHOWN: Final = f"shown{random_id(12)}"
"""What lies beside it and is meant to be seen."""

NOW: Final = datetime(2026, 1, 1, tzinfo=UTC)

OF_A_USER: Final[dict[str, Any]] = {
    "services.password.bcrypt": CANARY,
    "services.password.reset": {"token": CANARY, "email": f"{CANARY}@example.org"},
    "services.resume.loginTokens": [{"hashedToken": CANARY, "when": NOW, "userAgent": CANARY}],
    "services.totp": {"enabled": True, "secret": CANARY, "hashedBackup": [CANARY]},
    "services.email2fa": {"enabled": True, "codes": [CANARY]},
    "services.email.verificationTokens": [{"token": CANARY, "address": CANARY}],
    "services.google": {"accessToken": CANARY, "refreshToken": CANARY},
    "services.cloud": CANARY,
    "emails": [{"address": f"{CANARY}@example.org", "verified": True}],
    "e2e": {"public_key": "p", "private_key": CANARY},
    "settings.preferences.highlights": [CANARY],
    "inviteToken": CANARY,
    "importIds": [CANARY],
    "reason": CANARY,
    "requirePasswordChangeReason": CANARY,
    "federation": {"token": CANARY},
    "anythingElse": CANARY,
    "bio": SHOWN,
}
OF_A_ROOM: Final[dict[str, Any]] = {
    "joinCode": CANARY,
    "importIds": [CANARY],
    "e2eKey": CANARY,
    "anythingElse": {"nested": CANARY},
    "topic": SHOWN,
}
OF_A_MEMBERSHIP: Final[dict[str, Any]] = {
    "E2EKey": CANARY,
    "oldRoomKeys": [CANARY],
    "anythingElse": CANARY,
    "desktopNotifications": CANARY,
    "userHighlights": [CANARY],
}
OF_A_MESSAGE: Final[dict[str, Any]] = {
    **dict.fromkeys(INTERNAL_MESSAGE_FIELDS - {"_hidden", "starred", "imported", "seq"}, CANARY),
    "starred": [{"_id": CANARY}],
    "msg": SHOWN,
}
SETTINGS: Final = (
    {"_id": f"Private_{random_id(6)}", "public": False, "value": CANARY},
    {"_id": f"Hidden_{random_id(6)}", "public": True, "hidden": True, "value": CANARY},
    {"_id": f"Secret_{random_id(6)}", "public": False, "secret": True, "value": CANARY},
    {"_id": f"Shown_{random_id(6)}", "public": True, "value": SHOWN},
)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as opened:
        yield opened


async def plant(database: Database, things: Things) -> None:
    """Write all of it."""
    room_id, user_id = things.room_id, things.user_id
    for collection, of, values in (
        ("users", {"_id": user_id}, OF_A_USER),
        ("rocketchat_room", {"_id": room_id}, OF_A_ROOM),
        ("rocketchat_subscription", {"rid": room_id, "u._id": user_id}, OF_A_MEMBERSHIP),
        ("rocketchat_message", {"_id": things.message_id}, OF_A_MESSAGE),
        ("rocketchat_message", {"_id": things.thread_id}, OF_A_MESSAGE),
    ):
        written = await database[collection].update_one(of, {"$set": values})
        assert written.modified_count == 1, collection
    await database["rocketchat_settings"].insert_many(
        [{**one, "type": "string", "group": "General", "_updatedAt": NOW} for one in SETTINGS]
    )


async def everything_read(attacker: Attacker, client: Ddp, things: Things) -> list[Said]:
    methods = [call for call in method_calls(things) if call.reads]
    endpoints = [call for call in endpoint_calls(things) if call.verb == "GET"]
    said = await attacker.methods(methods) + await attacker.endpoints(endpoints)
    return said + await over_socket(client, methods)


async def test_cve_2026_23477_canaries(
    hubbub: Running,
    rest: Rest,
    session: aiohttp.ClientSession,
    database: Database,
    sign_in: SignIn,
    anonymous: Anonymous,
    admin: User,
    ana: User,
    bo: User,
    cy: User,
) -> None:
    """Of a user, a room, a membership, messages and settings: for a member of the room, for
    anybody else, and for nobody at all."""
    body = {"name": f"channel-{random_id(8)}", "members": [bo.username]}
    room = (await rest.post("channels.create", ana, **body))["channel"]
    sent = [await rest.post("chat.postMessage", ana, roomId=room["_id"], text="x") for _ in "12"]
    first, thread = [one["message"]["_id"] for one in sent]
    await rest.post(
        "chat.sendMessage", ana, message={"rid": room["_id"], "msg": "r", "tmid": thread}
    )
    things = Things(
        room_id=room["_id"],
        room_name=room["name"],
        message_id=first,
        thread_id=thread,
        user_id=ana.id,
        username=ana.username,
        setting_id=str(SETTINGS[0]["_id"]),
        room_type="c",
    )
    listening = {user: await sign_in(user) for user in (bo, cy)}
    nobody = await anonymous()
    for client in (*listening.values(), nobody):
        await listen(client, room["_id"], client.user_id)
    await plant(database, things)
    try:
        await listening[bo].event("room-messages", room["_id"], lambda m, *_: m["msg"] == SHOWN)
        await listening[bo].event("room-data", room["_id"], lambda one: one["topic"] == SHOWN)
        for client in (*listening.values(), nobody):
            await client.event(
                "notify-all",
                "public-settings-changed",
                lambda _, one: one["_id"] == SETTINGS[3]["_id"],
            )

        async def is_public() -> bool:
            listed = await rest.get("settings.public", None, _id=SETTINGS[3]["_id"])
            return SHOWN in str(listed)

        await eventually(is_public, within=10, what="the gateway knows the settings")
        for who, client in (*listening.items(), (None, nobody)):
            said = await everything_read(Attacker(session, hubbub.url, who), client, things)
            assert [str(one) for one in said if CANARY in one.text] == [], who
            assert [text for text in client.texts if CANARY in text] == [], who
            shown = {one.door for one in said if SHOWN in one.text}
            assert shown >= {"REST", "socket"}, who
        # What may see them does: they are where they were put.
        listed = await rest.get(f"settings/{SETTINGS[0]['_id']}", admin)
        assert listed["value"] == CANARY
        full = await rest.get("users.info", admin, userId=ana.id)
        assert CANARY in json.dumps(full["user"]["emails"])
        assert "services" not in full["user"]
    finally:
        await database["rocketchat_settings"].delete_many(
            {"_id": {"$in": [one["_id"] for one in SETTINGS]}}
        )


PER_USER: Final = frozenset(
    "starred unread userMentions groupMentions alert ls lr open f tunread tunreadUser"
    " tunreadGroup hideUnreadStatus desktopNotifications mobilePushNotifications"
    " emailNotifications notifications ignored blocked blocker autoTranslate prefs settings"
    " services emails tokens".split()
)
"""Fields of memberships and accounts: they say something about one user."""


async def test_mattermost_ghsa_q7rx_w656_fwmv_shared_frames_tell_of_nobody(
    rest: Rest, sign_in: SignIn, ana: User, bo: User, cy: User
) -> None:
    """What goes to a whole room has the same bytes for each of its members, and no field that
    belongs to one of them; what belongs to one goes to that one only."""
    body = {"name": f"g-{random_id(8)}", "members": [bo.username, cy.username]}
    room_id = (await rest.post("groups.create", ana, **body))["group"]["_id"]
    owner, *members = [await sign_in(user) for user in (ana, bo, cy)]
    for client in (owner, *members):
        await listen(client, room_id, client.user_id)
    said = await owner.call(
        "sendMessage", {"_id": random_id(), "rid": room_id, "msg": f"@{bo.username} look"}
    )
    await rest.post("chat.starMessage", bo, messageId=said["_id"])
    await rest.post("chat.followMessage", cy, mid=said["_id"])
    await rest.post("subscriptions.unread", bo, roomId=room_id)
    await rest.post("rooms.favorite", cy, roomId=room_id, favorite=True)
    await owner.call("setReaction", ":tada:", said["_id"], True)
    await owner.call("saveRoomSettings", room_id, "roomTopic", "the end")
    for client in (owner, *members):
        await client.event("room-data", room_id, lambda one: one.get("topic") == "the end")
        await client.event("room-messages", room_id, lambda m, *_: bool(m.get("reactions")))
    await members[1].event(
        "notify-user", f"{cy.id}/subscriptions-changed", lambda _, one: one.get("f")
    )

    def shared(client: Ddp) -> list[str]:
        """Frames about the room, as they came."""
        streams = ("stream-room-messages", "stream-notify-room", "stream-room-data")
        frames = [json.loads(text) for text in client.texts]
        return [
            text
            for text, frame in zip(client.texts, frames, strict=True)
            if frame.get("collection") in streams
            and frame["fields"].get("eventName", "").split("/")[0] == room_id
            and frame["msg"] == "changed"
        ]

    assert len(shared(owner)) >= 4
    for client in members:
        assert sorted(shared(client)) == sorted(shared(owner))
    for text in shared(owner):
        assert not (PER_USER - {"open"}) & _keys(json.loads(text)), text
    assert not owner.events("notify-user", f"{cy.id}/subscriptions-changed")
    assert [text for text in owner.texts + members[0].texts if '"f":true' in text] == []
    for text in owner.texts:
        frame = json.loads(text)
        if frame.get("collection") == "stream-notify-user":
            assert frame["fields"]["eventName"].startswith(f"{ana.id}/")


def _keys(value: Any) -> set[str]:
    match value:
        case dict():
            return set(value).union(*map(_keys, value.values()))
        case list():
            return set().union(*map(_keys, value))
        case _:
            return set()
