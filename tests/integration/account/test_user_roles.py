"""Roles of the whole workspace, given and taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubbub.contracts.account import Account, UserNotFound
from hubbub.contracts.authorization import RoleNotFound
from hubbub.contracts.user_roles import AdministratorRequired, AlreadyInRole, NotInRole
from hubbub.errors import HubbubError, NotAllowed
from hubbub.ids import UserId
from tests.integration.account.conftest import Server

pytestmark = pytest.mark.integration

ROOT, CREATOR = UserId("root"), UserId("creator")
ANN, BOB = UserId("ann"), UserId("bob")


async def users(server: Server, *names: str, **fields: Any) -> None:
    for name in names:
        user = {"_id": name, "username": name, "roles": ["user"], "active": True, **fields}
        await server.database["users"].insert_one(user)


async def roles(server: Server, user_id: str) -> list[str]:
    found: list[str] = (await server.stored(user_id))["roles"]
    return found


async def test_given_and_taken(account: Account, server: Server) -> None:
    """Once each; what happened is written down."""
    await users(server, "ann")
    given = await account.give_role(ROOT, ANN, "nurse")
    assert given["_id"] == "nurse"
    assert await roles(server, "ann") == ["user", "nurse"]
    with pytest.raises(AlreadyInRole):
        await account.give_role(ROOT, ANN, "nurse")
    await account.take_role(ROOT, ANN, "nurse")
    assert await roles(server, "ann") == ["user"]
    with pytest.raises(NotInRole):
        await account.take_role(ROOT, ANN, "nurse")

    entries = await server.database["hubbub_audit"].find({"target": "ann"}).to_list()
    assert [(one["action"], one["actor"], one["details"]) for one in entries] == [
        ("role.given", "root", {"role": "nurse"}),
        ("role.taken", "root", {"role": "nurse"}),
    ]


async def test_refusals(account: Account, server: Server) -> None:
    """No right, no such role, no such user."""
    await users(server, "ann")
    for change in (account.give_role, account.take_role):
        with pytest.raises(NotAllowed):
            await change(CREATOR, ANN, "nurse")
        with pytest.raises(RoleNotFound):
            await change(ROOT, ANN, "no-such-role")
        with pytest.raises(UserNotFound):
            await change(ROOT, UserId("nobody"), "nurse")


async def test_the_last_administrator_stays(account: Account, server: Server) -> None:
    """Somebody deactivated does not count as another one."""
    await users(server, "ann", roles=["user", "admin"])
    await users(server, "gone", roles=["admin"], active=False)
    with pytest.raises(AdministratorRequired):
        await account.take_role(ROOT, ANN, "admin")
    assert await roles(server, "ann") == ["user", "admin"]

    await users(server, "bob")
    await account.give_role(ROOT, BOB, "admin")
    await account.take_role(ROOT, ANN, "admin")
    assert await roles(server, "ann") == ["user"]


async def test_the_last_two_at_once(account: Account, server: Server) -> None:
    """Whoever decides first: one administrator is left."""
    for round_ in range(5):
        names = [f"ann{round_}", f"bob{round_}"]
        await server.database["users"].update_many({}, {"$pull": {"roles": "admin"}})
        await users(server, *names, roles=["admin"])
        outcomes = await asyncio.gather(
            *(account.take_role(ROOT, UserId(name), "admin") for name in names),
            return_exceptions=True,
        )

        refused = [one for one in outcomes if isinstance(one, HubbubError)]
        assert [type(one) for one in refused] == [AdministratorRequired]
        left = await server.database["users"].count_documents({"roles": "admin"})
        assert left == 1
