"""The processes of account and authorization as they really run, on real NATS and MongoDB."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import pytest

from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.account import Account, LoginRefused, Registration, UserChanges
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.events import UserChanged
from hubbub.errors import NotAllowed
from hubbub.ids import UserId, random_id
from hubbub.mongo import Database
from hubbub.runtime import CannotStart, Process
from services.account import service as account_service
from services.authorization import service as authorization_service
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def environment(
    monkeypatch: pytest.MonkeyPatch, database: Database, mongo_url: str, nats_url: str
) -> None:
    parts = urlsplit(mongo_url)
    monkeypatch.setenv("HUBBUB_MONGO_URL", urlunsplit(parts._replace(path=f"/{database.name}")))
    monkeypatch.setenv("HUBBUB_NATS_URL", nats_url)
    monkeypatch.setenv("HUBBUB_ADMIN_USERNAME", "boss")
    monkeypatch.setenv("HUBBUB_ADMIN_PASSWORD", "correct horse")


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[NatsBus]:
    bus = NatsBus(
        BusSettings(nats_url=nats_url, overrides={}), service="tests", instance=random_id(6)
    )
    await bus.connect()
    yield bus
    await bus.close()


@asynccontextmanager
async def running(name: str, run: Callable[[Process], Awaitable[None]]) -> AsyncIterator[Process]:
    process = Process(name)
    work = asyncio.ensure_future(run(process))
    try:
        await eventually(lambda: process.health.is_ready or work.done(), within=15)
        yield process
    finally:
        process.stopping.set()
        await asyncio.wait_for(work, 15)


async def test_login_over_the_bus(bus: NatsBus) -> None:
    """Two replicas of account and one of authorization: the administrator can sign in and make
    users, others cannot; rights follow when roles change."""
    account, authorization = bus.proxy(Account), bus.proxy(Authorization)
    async with (
        running("authorization", authorization_service.run),
        running("account", account_service.run),
        running("account", account_service.run),
    ):
        boss = await account.login({"user": "boss", "password": "correct horse"}, "203.0.113.7")
        with pytest.raises(LoginRefused) as refused:
            await account.login({"user": "boss", "password": "wrong"}, "203.0.113.7")
        assert refused.value.code == 403
        fields = {"name": "A", "email": "a@x.org", "username": "ann", "password": "correct horse"}
        ann = UserId((await account.create_user(boss.user_id, fields))["_id"])
        more = fields | {"email": "b@x.org", "username": "bob"}
        with pytest.raises(NotAllowed):
            await account.create_user(ann, more)

        assert not await authorization.has_permission(ann, "create-user")
        await account.update_user(boss.user_id, ann, UserChanges(roles=["admin", "user"]))
        await bus.publish(UserChanged(user_id=ann))
        await eventually(lambda: authorization.has_permission(ann, "create-user"))
        await account.create_user(ann, more)


async def test_registration_without_messaging(bus: NatsBus, database: Database) -> None:
    """Nobody answers for the default rooms: the user exists, and the wish is kept."""
    async with running("account", account_service.run):
        account = bus.proxy(Account)
        user_id = await account.register(
            Registration(username="ann", email="ann@x.org", password="correct horse")
        )

    user = await database["users"].find_one({"_id": user_id})
    assert user is not None
    assert user["defaultRoomsPending"] is True
    assert user["roles"] == ["user"]


async def test_wrong_administrator_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a reason, and without the password in it."""
    monkeypatch.setenv("HUBBUB_ADMIN_PASSWORD", "hunter2")

    with pytest.raises(CannotStart, match="characters") as refused:
        await account_service.run(Process("account"))
    assert "hunter2" not in str(refused.value)
