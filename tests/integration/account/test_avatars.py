"""Who has a picture, and who may change it."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.account import Account, UserNotFound
from hubbub.errors import NotAllowed
from hubbub.ids import UserId
from tests.integration.account.conftest import Server

pytestmark = pytest.mark.integration

ANA, ROOT = UserId("ana"), UserId("root")


@pytest.fixture(autouse=True)
async def people(server: Server) -> None:
    users: list[dict[str, Any]] = [
        {"_id": "ana", "username": "Ana", "active": True, "avatarETag": "old"},
        {"_id": "bo", "username": "bo", "active": True},
        {"_id": "nameless", "active": True},
        {"_id": "root", "username": "root", "active": True},
    ]
    await server.database["users"].insert_many(users)


async def test_owners_are_found(account: Account) -> None:
    """By id, or by name in any case."""
    for found in (
        await account.avatar_owner(user_id="ana"),
        await account.avatar_owner(username="ANA"),
    ):
        assert found is not None
        assert (found.user_id, found.username, found.etag) == ("ana", "Ana", "old")
    bo = await account.avatar_owner("bo")
    assert bo is not None
    assert bo.etag is None
    for user_id, username in ((None, None), ("nobody", None), (None, "nobody"), ("nameless", None)):
        assert await account.avatar_owner(user_id, username) is None


async def test_everybody_changes_their_own(account: Account, server: Server) -> None:
    """And others' only who may; nobody while the workspace says so."""
    assert (await account.may_set_avatar(ANA)).user_id == "ana"
    assert (await account.may_set_avatar(ANA, username="ana")).user_id == "ana"
    with pytest.raises(NotAllowed):
        await account.may_set_avatar(ANA, "bo")
    with pytest.raises(NotAllowed):
        await account.may_set_avatar(ANA, "nobody")
    assert (await account.may_set_avatar(ROOT, "bo")).user_id == "bo"
    with pytest.raises(UserNotFound):
        await account.may_set_avatar(ROOT, "nobody")


async def test_not_while_the_workspace_forbids_it(account: Account, server: Server) -> None:
    """But for those who may change anybody's."""
    await server.setting("Accounts_AllowUserAvatarChange", False)
    with pytest.raises(NotAllowed):
        await account.may_set_avatar(ANA)
    with pytest.raises(NotAllowed):
        await account.set_avatar(ANA, ANA, "new")
    assert (await account.may_set_avatar(ROOT)).user_id == "root"


async def test_a_picture_comes_and_goes(account: Account, server: Server) -> None:
    """Its tag and where it came from."""
    await account.set_avatar(ANA, ANA, "new", "url")
    user = await server.stored("ana")
    assert (user["avatarETag"], user["avatarOrigin"]) == ("new", "url")
    with pytest.raises(NotAllowed):
        await account.set_avatar(ANA, UserId("bo"), "new")
    await account.set_avatar(ROOT, ANA, None)
    assert not {"avatarETag", "avatarOrigin"} & (await server.stored("ana")).keys()
