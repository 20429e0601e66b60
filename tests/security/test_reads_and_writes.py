"""Who is not in a room learns nothing of it and changes nothing in it, by any call of any door.

CVE-2022-35249 and -35250 (mentions and direct messages readable without membership),
CVE-2026-72919 (the check was made for a room's id but not for its name), Mattermost CVE-2026-1629
and Zulip GHSA-478x-rfqr-w4jf (access kept after the removal). All calls are made from the tables
of methods and endpoints.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, Final

import aiohttp
import pytest

from hubbub.mongo import Database
from tests.conformance.conftest import Anonymous, Running, SignIn
from tests.conformance.rest import Rest, User
from tests.conformance.test_rest_files import Files
from tests.conformance.witness import differences, settled
from tests.security.attacker import Attacker, Said, over_socket
from tests.security.calls import EndpointCall, MethodCall, Things, endpoint_calls, method_calls
from tests.security.scene import Scene, direct_room, private_room

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(120)]

SILENT: Final = frozenset(
    "getReadReceipts getRoomIdByNameOrId getRoomNameById roomNameExists getUsersOfRoom"
    " getRoomRoles spotlight chat.ignoreUser chat.getMessageReadReceipts chat.getDeletedMessages"
    " moderation.reports commands.preview roles.getUsersInRole subscriptions.getOne"
    " rooms.nameExists rooms.roles rooms.isMember rooms.membersOrderedByRole"
    " rooms.adminRooms.getRoom rooms.getDiscussions hubbub/explain".split()
    + [
        f"{kind}.{name}"
        for kind in ("groups", "im", "dm")
        for name in ("members", "roles", "moderators", "counters", "online", "messages.others")
    ]
)
"""Reads that name a room and tell its members nothing of what is said there, but who is in it,
how many, which ids; and those that only administrators may use."""


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as opened:
        yield opened


def methods_of(scene: Scene, user: User | None, *, writes: bool = True) -> list[MethodCall]:
    """All that read, and all that name a room or a message: for oneself, if for somebody."""
    calls = method_calls(_for(scene, user))
    return [call for call in calls if call.reads or (writes and call.is_about_room)]


def endpoints_of(scene: Scene, user: User | None, *, writes: bool = True) -> list[EndpointCall]:
    calls = endpoint_calls(_for(scene, user))
    return [call for call in calls if call.verb == "GET" or (writes and call.is_about_room)]


def _for(scene: Scene, user: User | None) -> Things:
    things = scene.things
    return things if user is None else replace(things, user_id=user.id, username=user.username)


def telling(said: list[Said], scene: Scene) -> list[str]:
    """Answers that hold the secret."""
    return [str(one) for one in said if scene.secret in one.text]


def malformed(said: list[Said]) -> list[str]:
    """Refusals that say nothing about rights: behind them a check may be missing."""
    return [
        str(one)
        for one in said
        if one.code in ("invalid-params", "invalid-body") or '"reason": "Match failed"' in one.text
    ]


async def everything_tells_members(
    attacker: Attacker, scene: Scene, user: User, *, other_kinds: tuple[str, ...]
) -> None:
    """The control: each read that could tell the secret tells it to whoever may know it."""
    methods = [call for call in methods_of(scene, user, writes=False) if call.is_about_room]
    endpoints = [
        call
        for call in endpoints_of(scene, user, writes=False)
        if call.path.startswith("/api/v1/")
        and not call.path.startswith("/api/v1/settings/")
        and call.is_about_room
        and not call.path.removeprefix("/api/v1/").startswith(other_kinds)
        and (call.by == "id" or scene.things.room_type == "p")  # others have no name
    ]
    said = await attacker.methods(methods) + await attacker.endpoints(endpoints)
    told = {one.call for one in said if scene.secret in one.text}

    silent = {one.call: str(one) for one in said if one.call not in told}
    names = {call: call.split("/api/v1/")[-1].split(" by ")[0] for call in silent}
    assert {call: silent[call] for call, name in names.items() if name not in SILENT} == {}
    assert len(told) > 20


async def test_cve_2022_35249_strangers_and_a_private_room(
    hubbub: Running,
    rest: Rest,
    files: Files,
    session: aiohttp.ClientSession,
    database: Database,
    sign_in: SignIn,
    anonymous: Anonymous,
    ana: User,
    bo: User,
    cy: User,
) -> None:
    """Signed in or not, over REST, `method.call` and a socket, by id and by name."""
    scene = await private_room(rest, files, ana, bo)
    await everything_tells_members(
        Attacker(session, hubbub.url, bo), scene, bo, other_kinds=("channels.", "im.", "dm.")
    )
    signed_in = await sign_in(cy)
    before = await settled(database)
    for user in (cy, None):
        attacker = Attacker(session, hubbub.url, user)
        methods = methods_of(scene, user)
        said = await attacker.methods(methods)
        said += await over_socket(signed_in if user else await anonymous(), methods)
        said += await attacker.endpoints(endpoints_of(scene, user))

        assert telling(said, scene) == []
        own_affairs = ("checkRegistrationSecretURL", "sendConfirmationEmail")
        assert malformed([one for one in said if one.call not in own_affairs]) == []
    assert differences(before, await settled(database)) == []


async def documents(database: Database, scene: Scene) -> list[Any]:
    """The room, its memberships, messages and files, but for what is counted behind a write."""
    found: list[Any] = []
    for name, key in (
        ("rocketchat_room", "_id"),
        ("rocketchat_subscription", "rid"),
        ("rocketchat_message", "rid"),
        ("rocketchat_uploads", "rid"),
    ):
        hidden = dict.fromkeys(("_updatedAt", "countedSeq", "uncounted", "unread", "alert"), 0)
        rows = database[name].find({key: scene.room_id}, hidden).sort("_id", 1)
        found += [row async for row in rows]
    assert len(found) > 8
    return found


async def test_cve_2022_35250_strangers_and_a_direct_room(
    hubbub: Running,
    rest: Rest,
    files: Files,
    session: aiohttp.ClientSession,
    database: Database,
    ana: User,
    bo: User,
    cy: User,
) -> None:
    """Whose id anybody can put together from the ids of the two."""
    scene = await direct_room(rest, files, ana, bo)
    await everything_tells_members(
        Attacker(session, hubbub.url, bo),
        scene,
        bo,
        other_kinds=("channels.", "groups.", "chat.getPinned"),
    )
    before = await documents(database, scene)
    for user in (cy, None):
        attacker = Attacker(session, hubbub.url, user)
        said = await attacker.methods(methods_of(scene, user))
        said += await attacker.endpoints(endpoints_of(scene, user))

        assert telling(said, scene) == []
    assert await documents(database, scene) == before


async def test_mattermost_cve_2026_1629_nothing_is_left_after_a_removal(
    hubbub: Running,
    rest: Rest,
    files: Files,
    session: aiohttp.ClientSession,
    sign_in: SignIn,
    ana: User,
    bo: User,
) -> None:
    """The first call after the removal was answered is refused: no cache lets it through."""
    scene = await private_room(rest, files, ana, bo)
    attacker, client = Attacker(session, hubbub.url, bo), await sign_in(bo)
    before = await attacker.methods(methods_of(scene, bo, writes=False))
    before += await attacker.endpoints(endpoints_of(scene, bo, writes=False))
    assert len(telling(before, scene)) > 20
    await rest.post("groups.kick", ana, roomId=scene.room_id, userId=bo.id)

    said = await attacker.methods(methods_of(scene, bo))
    said += await over_socket(client, methods_of(scene, bo, writes=False))
    said += await attacker.endpoints(endpoints_of(scene, bo))
    assert telling(said, scene) == []


async def test_cve_2026_72919_a_name_is_checked_as_an_id_is(
    hubbub: Running,
    rest: Rest,
    files: Files,
    session: aiohttp.ClientSession,
    ana: User,
    bo: User,
    cy: User,
) -> None:
    """Every endpoint that takes either gives a stranger the same refusal for both."""
    scene = await private_room(rest, files, ana, bo)
    stranger = Attacker(session, hubbub.url, cy)
    said = await stranger.endpoints(endpoints_of(scene, cy))
    by_id = {one.call.removesuffix(" by id"): one for one in said if one.call.endswith(" by id")}
    by_name = {
        one.call.removesuffix(" by name"): one for one in said if one.call.endswith(" by name")
    }

    assert len(by_name) > 50
    assert [str(one) for one in by_name.values() if one.code is None] == []
    assert {call: one.code for call, one in by_name.items()} == {
        call: by_id[call].code for call in by_name
    }
    member = Attacker(session, hubbub.url, bo)
    (info,) = [
        call for call in endpoints_of(scene, bo) if call.label == "GET /api/v1/groups.info by name"
    ]
    assert scene.secret in (await member.endpoint(info)).text
