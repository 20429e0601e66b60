"""The users that apps act as."""

from __future__ import annotations

import pytest

from hubbub.contracts.account import Account, FieldTaken, LoginRefused
from hubbub.ids import UserId
from tests.integration.account.conftest import Server

pytestmark = pytest.mark.integration

BOT = UserId("reminders.bot")


async def test_made_retired_and_brought_back(account: Account, server: Server) -> None:
    """One user, whatever is repeated; nobody can sign in as it."""
    for _ in range(2):
        made = await account.ensure_app_user("reminders", "Reminders")
        assert (made.user_id, made.username) == (BOT, BOT)
    stored = await server.stored(BOT)
    assert (stored["type"], stored["roles"], stored["active"]) == ("app", ["app"], True)
    assert "services" not in stored
    with pytest.raises(LoginRefused):
        await account.login({"user": {"username": BOT}, "password": "reminders"})

    for _ in range(2):
        await account.retire_app_user("reminders")
        assert (await server.stored(BOT))["active"] is False
    await account.ensure_app_user("reminders", "Reminders, again")
    stored = await server.stored(BOT)
    assert (stored["active"], stored["name"]) == (True, "Reminders, again")


async def test_somebody_has_the_name(account: Account, server: Server) -> None:
    user = {"_id": "ann", "username": "Reminders.bot", "roles": ["user"], "active": True}
    await server.database["users"].insert_one(user)
    with pytest.raises(FieldTaken):
        await account.ensure_app_user("reminders", "Reminders")
    await account.retire_app_user("reminders")
    assert (await server.stored("ann"))["active"] is True


async def test_somebody_has_the_id(account: Account, server: Server) -> None:
    """A person is not taken for an app, and is not retired with one."""
    user = {"_id": BOT, "username": "ann", "type": "user", "roles": ["user"], "active": True}
    await server.database["users"].insert_one(user)
    with pytest.raises(FieldTaken):
        await account.ensure_app_user("reminders", "Reminders")
    await account.retire_app_user("reminders")
    assert (await server.stored(BOT))["active"] is True
