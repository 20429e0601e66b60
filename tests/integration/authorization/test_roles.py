"""Roles and permissions as administrators change them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from hubbub.clock import FakeClock, utc_now
from hubbub.contracts.authorization import (
    Authorization,
    NewRole,
    PermissionRoles,
    RoleChanges,
    RoleInUse,
    RoleNameTaken,
    RoleNotFound,
    RoleProtected,
    UnknownPermission,
    UnknownRole,
)
from hubbub.contracts.documents import Paging
from hubbub.contracts.events import Audited
from hubbub.errors import LacksPermission, NotAllowed
from hubbub.ids import RoomId, UserId
from services.authorization.store import MongoRoleStore
from tests.integration.authorization.conftest import BOB, PRIVATE, Workspace

pytestmark = pytest.mark.integration

ROOT = UserId("root")
PAGE = Paging(count=10)


@pytest.fixture(autouse=True)
async def root(workspace: Workspace) -> None:
    await workspace.user(ROOT, "admin")


async def test_a_role_lives_and_ends(
    authorization: Authorization, workspace: Workspace, deeds: list[Audited], clock: FakeClock
) -> None:
    """Seen at once by who changed it; kept in the trash; told to the audit log."""
    clock.advance(utc_now().timestamp() - clock.time())
    before = utc_now() - timedelta(minutes=1)
    made = await authorization.create_role(ROOT, NewRole(name=" Nurse ", description="Heals"))
    assert (made["name"], made["protected"]) == ("Nurse", False)
    assert made["_id"] in [one["_id"] for one in await authorization.roles()]
    assert await authorization.find_role("Nurse") == made
    assert await authorization.find_role(made["_id"]) == made

    changed = await authorization.update_role(ROOT, made["_id"], RoleChanges(description=""))
    assert (changed["name"], changed["description"]) == ("Nurse", "")
    same = await authorization.update_role(ROOT, made["_id"], RoleChanges(name="Nurse"))
    assert same == changed

    await authorization.update_permissions(
        ROOT, [PermissionRoles(id="view-logs", roles=["admin", made["_id"]])]
    )
    await authorization.delete_role(ROOT, "Nurse")
    permission = await workspace.database["rocketchat_permissions"].find_one({"_id": "view-logs"})
    assert permission is not None
    assert permission["roles"] == ["admin"]
    found = await authorization.roles_changed(before)
    assert made["_id"] in [one["_id"] for one in found.remove]
    assert made["_id"] not in [one["_id"] for one in found.update]
    assert [one.action for one in deeds] == [
        "role.created",
        "role.changed",
        "permission.changed",
        "role.deleted",
    ]
    assert deeds[2].details == {"old": ["admin"], "new": sorted(["admin", made["_id"]])}


async def test_names_are_unique(authorization: Authorization) -> None:
    """Also when two are made at once, and against the ids of the built-in roles."""
    made = await asyncio.gather(
        *(authorization.create_role(ROOT, NewRole(name="Nurse")) for _ in range(5)),
        return_exceptions=True,
    )
    assert sum(isinstance(one, dict) for one in made) == 1
    assert all(isinstance(one, dict | RoleNameTaken) for one in made)
    other = await authorization.create_role(ROOT, NewRole(name="Doctor"))
    for name in ("Nurse", "admin"):
        with pytest.raises(RoleNameTaken):
            await authorization.update_role(ROOT, other["_id"], RoleChanges(name=name))
    with pytest.raises(RoleNameTaken):
        await authorization.create_role(ROOT, NewRole(name="   "))


async def test_refusals(authorization: Authorization, workspace: Workspace) -> None:
    """Protected, unknown, held by somebody in the workspace or in a room."""
    for changes in (RoleChanges(name="x"), RoleChanges(scope="Subscriptions")):
        with pytest.raises(RoleProtected):
            await authorization.update_role(ROOT, "user", changes)
    renamed = await authorization.update_role(ROOT, "user", RoleChanges(description="Person"))
    assert renamed["description"] == "Person"
    with pytest.raises(RoleProtected):
        await authorization.delete_role(ROOT, "user")
    for call in (
        authorization.update_role(ROOT, "nothing", RoleChanges(name="x")),
        authorization.delete_role(ROOT, "nothing"),
        authorization.users_in_role(ROOT, "nothing", PAGE),
    ):
        with pytest.raises(RoleNotFound):
            await call

    here = await authorization.create_role(ROOT, NewRole(name="Here"))
    there = await authorization.create_role(ROOT, NewRole(name="There", scope="Subscriptions"))
    await workspace.user("held", here["_id"])
    await workspace.join("held", PRIVATE, there["_id"])
    for role in (here, there):
        with pytest.raises(RoleInUse):
            await authorization.delete_role(ROOT, role["_id"])


async def test_only_administrators(authorization: Authorization) -> None:
    """Each action asks for itself."""
    for call in (
        authorization.create_role(BOB, NewRole(name="x")),
        authorization.update_role(BOB, "user", RoleChanges(description="x")),
        authorization.delete_role(BOB, "user"),
    ):
        with pytest.raises(NotAllowed) as refused:
            await call
        assert refused.value.code == "error-action-not-allowed"
    for other in (
        authorization.update_permissions(BOB, []),
        authorization.users_in_role(BOB, "user", PAGE),
    ):
        with pytest.raises(LacksPermission):
            await other


async def test_permissions_change_together(
    authorization: Authorization, workspace: Workspace
) -> None:
    """All or none; those that are held already are not written again."""
    stored = workspace.database["rocketchat_permissions"]
    before = await stored.find_one({"_id": "view-logs"})
    good = PermissionRoles(id="create-c", roles=["admin"])
    for wrong, error in (
        (PermissionRoles(id="no-such", roles=[]), UnknownPermission),
        (PermissionRoles(id="view-logs", roles=["no-such"]), UnknownRole),
    ):
        with pytest.raises(error):
            await authorization.update_permissions(ROOT, [good, wrong])
    assert await authorization.has_permission(BOB, "create-c")

    answer = await authorization.update_permissions(
        ROOT, [good, PermissionRoles(id="view-logs", roles=["admin", "admin"])]
    )
    by_id = {one["_id"]: one for one in answer}
    assert by_id["create-c"]["roles"] == ["admin"]
    assert await stored.find_one({"_id": "view-logs"}) == before
    assert not await authorization.has_permission(BOB, "create-c")


async def test_who_holds_a_role(authorization: Authorization, workspace: Workspace) -> None:
    """By username, in pages; in a room, in any room."""
    for number in range(5):
        await workspace.user(f"n{number}", "bot")
    await workspace.join("n3", PRIVATE, "owner")
    await workspace.join("n1", "other", "owner")
    first = await authorization.users_in_role(ROOT, "bot", Paging(count=2))
    rest = await authorization.users_in_role(ROOT, "bot", Paging(count=10, offset=2))
    here = await authorization.users_in_role(ROOT, "owner", PAGE, PRIVATE)
    anywhere = await authorization.users_in_role(ROOT, "owner", PAGE)
    nobody = await authorization.users_in_role(ROOT, "owner", PAGE, RoomId("empty"))

    assert [one["_id"] for one in first.items + rest.items] == [f"n{n}" for n in range(5)]
    assert (first.total, rest.total) == (5, 5)
    assert [one["_id"] for one in here.items] == ["n3"]
    assert [one["_id"] for one in anywhere.items] == ["n1", "n3"]
    assert nobody.total == 0
    assert "services" not in first.items[0]


async def test_another_servers_twins_do_not_stop_the_start(workspace: Workspace) -> None:
    """Two roles of one name stay; others may be made."""
    roles = workspace.database["rocketchat_roles"]
    await roles.insert_many([{"_id": "a", "name": "Twin"}, {"_id": "b", "name": "Twin"}])
    store = MongoRoleStore(workspace.database)
    await store.prepare()
    found = await store.find("Twin")
    assert found is not None
    assert found["_id"] in ("a", "b")
    assert await store.insert({"_id": "c", "name": "Single"})
