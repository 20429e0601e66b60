"""The authorization service on a real database, at its doors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from hubbub.bus import LocalBus
from hubbub.clock import FakeClock, utc_now
from hubbub.contracts.authorization import MAX_QUESTIONS, Authorization, NewRole, RoomQuestion
from hubbub.contracts.documents import Paging
from hubbub.contracts.events import (
    MembershipChanged,
    PermissionsChanged,
    RolesChanged,
    RoomChanged,
    SettingsChanged,
    UserChanged,
)
from hubbub.contracts.workspace import PERMISSIONS, ROLES
from hubbub.errors import BadRequest, Unavailable
from hubbub.ids import RoomId, UserId
from hubbub.mongo import MongoSettings, connect, database_of
from services.authorization.metrics import AuthorizationMetrics
from services.authorization.service import AuthorizationService
from services.authorization.settings import AuthorizationSettings
from services.authorization.store import MongoAuthorizationStore, MongoRoleStore
from tests.integration.authorization.conftest import ANN, BOB, PRIVATE, PUBLIC, Workspace, ignored
from tests.waiting import eventually

pytestmark = pytest.mark.integration


async def test_seeds(workspace: Workspace, service: AuthorizationService) -> None:
    """Every role and permission is there with a date; a second start changes nothing; what an
    administrator changed stays."""
    permissions = workspace.database["rocketchat_permissions"]
    await permissions.update_one({"_id": "create-c"}, {"$set": {"roles": ["admin"]}})
    await permissions.delete_one({"_id": "create-d"})
    stores = [MongoAuthorizationStore(workspace.database) for _ in range(3)]
    await asyncio.gather(*(store.fill() for store in stores))

    stored = {document["_id"]: document async for document in permissions.find({})}
    roles = await workspace.database["rocketchat_roles"].find({}).to_list()
    assert stored.keys() == PERMISSIONS.keys()
    assert stored["create-c"]["roles"] == ["admin"]
    assert stored["create-d"]["roles"] == list(PERMISSIONS["create-d"])
    assert all(document["_updatedAt"] for document in stored.values())
    assert {role["_id"] for role in roles} == ROLES.keys()
    assert next(role for role in roles if role["_id"] == "owner")["scope"] == "Subscriptions"


async def test_who_has_just_joined_is_let_in(
    workspace: Workspace, authorization: Authorization
) -> None:
    """That there is no membership is not remembered: no event has to tell of its beginning."""
    assert not await authorization.can_access_room_id(PRIVATE, BOB)
    await workspace.join(BOB, PRIVATE)

    assert await authorization.can_access_room_id(PRIVATE, BOB)
    assert await authorization.accessible_rooms([PRIVATE, PUBLIC], BOB) == [PRIVATE, PUBLIC]


async def test_permissions_by_role_and_room(
    workspace: Workspace, authorization: Authorization
) -> None:
    """Global roles, room roles, anonymous, unknown and deactivated users."""
    await workspace.join(BOB, PRIVATE, "owner")
    await workspace.user("gone", "admin", active=False)
    check = authorization.has_permission

    assert await check(BOB, "create-c")
    assert not await check(BOB, "edit-room")
    assert await check(BOB, "edit-room", PRIVATE)
    assert not await check(BOB, "edit-room", PUBLIC)
    assert await check(None, "preview-c-room")
    assert not await check(None, "create-c")
    assert not await check(UserId("nobody"), "create-c")
    assert not await check(UserId("gone"), "create-user")
    assert not await check(BOB, "no-such-permission")


async def test_combinations(authorization: Authorization) -> None:
    """All, any, and which."""
    both, one = ["create-c", "create-d"], ["create-c", "create-user"]

    assert await authorization.has_all_permissions(BOB, both)
    assert not await authorization.has_all_permissions(BOB, one)
    assert await authorization.has_at_least_one_permission(BOB, one)
    assert not await authorization.has_at_least_one_permission(BOB, ["create-user"])
    assert await authorization.held_permissions(BOB, ["delete-c", *one]) == ["create-c"]
    assert await authorization.has_any_role(BOB, ["admin", "user"])
    assert not await authorization.has_any_role(BOB, ["admin"])


async def test_access(workspace: Workspace, authorization: Authorization) -> None:
    """Public, joined, not joined, unknown; a discussion and one inside it as their parent."""
    secret = RoomId("secret")
    await workspace.room(secret, "p")
    await workspace.join(BOB, PRIVATE)
    await workspace.room("talk", "p", prid=PRIVATE)
    await workspace.room("talk-in-talk", "p", prid="talk")
    await workspace.room("ring-a", "p", prid="ring-b")
    await workspace.room("ring-b", "p", prid="ring-a")
    rooms = [
        RoomId(one)
        for one in (PUBLIC, PRIVATE, secret, "talk", "talk-in-talk", "ring-a", "unknown")
    ]

    bobs = await authorization.accessible_rooms(rooms, BOB)
    anns = await authorization.accessible_rooms(rooms, ANN)

    assert bobs == [PUBLIC, PRIVATE, "talk", "talk-in-talk"]
    assert anns == [PUBLIC]
    assert await authorization.can_access_room_id(RoomId("talk"), BOB)
    assert not await authorization.can_access_room_id(RoomId("unknown"), BOB)
    assert not await authorization.can_access_room_id(PUBLIC, UserId("nobody"))


async def test_teams(workspace: Workspace, authorization: Authorization) -> None:
    """Rooms of a public team are public; those of a private one belong to its members."""
    teams = workspace.database["rocketchat_team"]
    await teams.insert_many([{"_id": "open", "type": 0}, {"_id": "closed", "type": 1}])
    await workspace.database["rocketchat_team_member"].insert_one(
        {"teamId": "closed", "userId": BOB}
    )
    rooms = [RoomId("of-open"), RoomId("of-closed"), RoomId("of-none")]
    for room_id, team in zip(rooms, ("open", "closed", "missing"), strict=True):
        await workspace.room(room_id, "c", teamId=team)

    assert await authorization.accessible_rooms(rooms, BOB) == rooms[:2]
    assert await authorization.accessible_rooms(rooms, ANN) == rooms[:1]


async def test_reading_without_joining(workspace: Workspace, authorization: Authorization) -> None:
    """Strangers only if the workspace says so; bots may follow a public room, not preview it."""
    robot = UserId("robot")
    await workspace.user(robot, "bot")
    assert not await authorization.can_read_room(PUBLIC, None)
    await workspace.setting("Accounts_AllowAnonymousRead", True)

    assert await authorization.can_read_room(PUBLIC, BOB)
    assert await authorization.can_access_room_id(PUBLIC, robot)
    assert not await authorization.can_read_room(PUBLIC, robot)
    assert not await authorization.can_read_room(PRIVATE, BOB)


async def test_rooms_of_many_at_once(
    workspace: Workspace, service: AuthorizationService, authorization: Authorization
) -> None:
    """Every answer as alone, in a handful of queries."""
    people = [UserId(f"u{number}") for number in range(40)]
    for user_id in people:
        await workspace.user(user_id, "user")
    for user_id in people[::2]:
        await workspace.join(user_id, PRIVATE)
    questions = [
        RoomQuestion(room_id=room_id, user_id=user_id, what=what)
        for user_id in [*people, UserId("nobody"), None]
        for room_id in (PUBLIC, PRIVATE, RoomId("missing"))
        for what in ("access", "read")
    ][:MAX_QUESTIONS]
    await workspace.database.command("profile", 2)
    together = await authorization.judge_rooms(questions)
    await workspace.database.command("profile", 0)

    queries = await workspace.database["system.profile"].count_documents({"op": "query"})
    assert queries < 10
    service.forget_everything()
    assert together == [
        await (
            authorization.can_read_room
            if question.what == "read"
            else authorization.can_access_room_id
        )(question.room_id, question.user_id)
        for question in questions
    ]
    assert 0 < sum(map(bool, together)) < len(together)
    with pytest.raises(BadRequest):
        await authorization.judge_rooms([questions[0]] * (MAX_QUESTIONS + 1))


async def test_lists(workspace: Workspace, authorization: Authorization, clock: FakeClock) -> None:
    """Permissions (all, or changed and removed since), roles, holders of public roles."""
    await workspace.user("root", "admin", "user")
    long_ago, tomorrow = utc_now() - timedelta(days=1), utc_now() + timedelta(days=1)
    await workspace.database["rocketchat__trash"].insert_one(
        {"_id": "old-permission", "__collection__": "permission", "_deletedAt": utc_now()}
    )

    everything = await authorization.permissions()
    assert len(everything.update) == len(PERMISSIONS)
    assert all(isinstance(document["roles"], list) for document in everything.update)
    assert everything.remove == []
    assert len((await authorization.permissions(long_ago)).update) == len(PERMISSIONS)
    assert (await authorization.permissions(tomorrow)).update == []
    removed = (await authorization.permissions(long_ago)).remove
    assert [document["_id"] for document in removed] == ["old-permission"]
    assert {role["_id"] for role in await authorization.roles()} == ROLES.keys()
    assert await authorization.users_in_public_roles() == [
        {"_id": "root", "username": "root", "roles": ["admin", "user"]}
    ]
    assert await authorization.administrators() == [{"_id": "root", "username": "root"}]


# -- caches ---------------------------------------------------------------------------------------


async def test_events_make_it_forget(
    workspace: Workspace, authorization: Authorization, bus: LocalBus
) -> None:
    """A changed fact is kept until its event comes; the event makes the answer right."""
    database = workspace.database
    users, rooms = database["users"], database["rocketchat_room"]
    permissions = database["rocketchat_permissions"]

    async def member() -> bool:
        return await authorization.can_access_room_id(PRIVATE, BOB)

    async def creator() -> bool:
        return await authorization.has_permission(BOB, "create-user")

    async def writer() -> bool:
        return await authorization.has_permission(BOB, "create-c")

    async def stranger() -> bool:
        return await authorization.can_access_room_id(PUBLIC, None)

    async def reader() -> bool:
        return await authorization.can_access_room_id(PUBLIC, ANN)

    await workspace.join(BOB, PRIVATE)
    assert [await one() for one in (member, creator, writer, stranger, reader)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    await workspace.leave(BOB, PRIVATE)
    await users.update_one({"_id": BOB}, {"$set": {"roles": ["user", "admin"]}})
    await permissions.update_one({"_id": "create-c"}, {"$set": {"roles": []}})
    await workspace.setting("Accounts_AllowAnonymousRead", True)
    await rooms.update_one({"_id": PUBLIC}, {"$set": {"t": "p"}})
    assert [await one() for one in (member, creator, writer, stranger, reader)] == [
        True,
        False,
        True,
        False,
        True,
    ]

    await bus.publish(MembershipChanged(user_id=BOB, room_id=PRIVATE, change="ended"))
    await eventually(lambda: denied(member))
    await bus.publish(UserChanged(user_id=BOB))
    await eventually(creator)
    await bus.publish(PermissionsChanged())
    await eventually(lambda: denied(writer))
    await bus.publish(SettingsChanged(setting_id="Accounts_AllowAnonymousRead"))
    await eventually(stranger)
    await bus.publish(RoomChanged(room_id=PUBLIC))
    await eventually(lambda: denied(reader))


async def test_role_events_make_it_forget(
    workspace: Workspace, authorization: Authorization, bus: LocalBus
) -> None:
    """A new role is listed after its event."""
    await authorization.roles()
    await workspace.database["rocketchat_roles"].insert_one({"_id": "poet", "name": "poet"})

    async def is_listed() -> bool:
        return any(role["_id"] == "poet" for role in await authorization.roles())

    assert not await is_listed()
    await bus.publish(RolesChanged())
    await eventually(is_listed)


async def test_lost_event_costs_five_seconds(
    workspace: Workspace, authorization: Authorization, clock: FakeClock
) -> None:
    """Then the end of a membership is seen without any event."""
    await workspace.join(BOB, PRIVATE)
    assert await authorization.can_access_room_id(PRIVATE, BOB)
    await workspace.leave(BOB, PRIVATE)
    clock.advance(4.9)
    assert await authorization.can_access_room_id(PRIVATE, BOB)
    clock.advance(0.1)

    assert not await authorization.can_access_room_id(PRIVATE, BOB)


async def test_what_is_asked_for_now_is_read_now(
    workspace: Workspace, authorization: Authorization
) -> None:
    """No event has come yet: the end of a membership, and a room that is private from now on."""
    await workspace.join(BOB, PRIVATE)
    assert await authorization.can_access_room_id(PRIVATE, BOB)
    assert await authorization.can_read_room(PUBLIC, ANN)
    await workspace.leave(BOB, PRIVATE)
    await workspace.database["rocketchat_room"].update_one({"_id": PUBLIC}, {"$set": {"t": "p"}})
    assert await authorization.can_read_room(PRIVATE, BOB)
    assert await authorization.can_access_room_id(PUBLIC, ANN)

    assert not await authorization.can_access_room_id(PRIVATE, BOB, now=True)
    assert not await authorization.can_read_room(PUBLIC, ANN, now=True)
    # What was read is remembered by those who need not know it so exactly.
    assert not await authorization.can_read_room(PRIVATE, BOB)
    assert not await authorization.can_access_room_id(PUBLIC, ANN)


async def denied(check: Callable[[], Awaitable[bool]]) -> bool:
    return not await check()


async def test_database_away(workspace: Workspace, clock: FakeClock) -> None:
    """Fresh facts still answer, permissions for half a minute; the rest is unknown, never no."""
    away = connect(
        MongoSettings(url=SecretStr("mongodb://127.0.0.1:1/hubbub"), server_selection_timeout=0.05),
        app_name="tests",
    )
    store = MongoAuthorizationStore(workspace.database)
    await store.fill()
    metrics = AuthorizationMetrics(CollectorRegistry())
    roles = MongoRoleStore(workspace.database)
    service = AuthorizationService(store, AuthorizationSettings(), metrics, roles, ignored, clock)
    await workspace.join(BOB, PRIVATE)
    assert await service.can_access_room_id(PRIVATE, BOB)
    assert await service.has_permission(BOB, "create-c")
    store.__dict__.update(MongoAuthorizationStore(database_of(away)).__dict__)

    clock.advance(4)
    assert await service.can_access_room_id(PRIVATE, BOB)
    clock.advance(4)
    with pytest.raises(Unavailable):
        await service.can_access_room_id(PRIVATE, BOB)
    assert await service.has_permission(BOB, "create-c")
    assert not await service.has_permission(BOB, "create-user")
    with pytest.raises(Unavailable):
        await service.has_permission(ANN, "create-c")
    clock.advance(30)
    with pytest.raises(Unavailable):
        await service.has_permission(BOB, "create-c")
    await service.close()
    await away.close()


async def test_no_collection_scans(workspace: Workspace, service: AuthorizationService) -> None:
    """Everything the service reads, as the server itself planned it."""
    for number in range(50):
        await workspace.user(f"u{number}", "user")
        await workspace.room(f"r{number}", "p", prid=PUBLIC, teamId="t")
        await workspace.join(f"u{number}", f"r{number}")
    await workspace.database.command("profile", 2)
    rooms = [RoomId(f"r{number}") for number in range(50)]
    await service.accessible_rooms(rooms, UserId("u3"))
    await service.can_read_room(PUBLIC, None)
    await service.has_permission(UserId("u4"), "create-c", rooms[4])
    await service.users_in_public_roles()
    await service.administrators()
    await service.permissions(utc_now())
    await service.roles_changed(utc_now())
    await workspace.user("root", "admin")
    for role in ("user", "admin", "owner"):
        await service.users_in_role(UserId("root"), role, Paging(count=5))
    await service.users_in_role(UserId("root"), "owner", Paging(count=5), rooms[1])
    made = await service.create_role(UserId("root"), NewRole(name="unused"))
    await service.delete_role(UserId("root"), made["_id"])
    await workspace.database.command("profile", 0)

    small = {"rocketchat_roles", "rocketchat_permissions", "system.profile"}
    seen, scans = 0, []
    async for entry in workspace.database["system.profile"].find({"op": {"$in": ["query"]}}):
        collection = entry["ns"].partition(".")[2]
        if collection in small:
            continue
        seen += 1
        if "COLLSCAN" in str(entry.get("planSummary")):
            scans.append(entry["command"])
    assert seen >= 6
    assert scans == []
