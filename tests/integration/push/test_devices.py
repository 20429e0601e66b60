"""Device tokens on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from hubbub.bus import LocalBus
from hubbub.clock import FakeClock
from hubbub.contracts.events import UserChanged
from hubbub.contracts.push import Device, DeviceKind, Push
from hubbub.ids import UserId
from hubbub.mongo import Database
from services.push.metrics import PushMetrics
from services.push.migration import expand
from services.push.service import PushService
from services.push.settings import PushSettings

pytestmark = pytest.mark.integration

ANN, BOB = UserId("ann"), UserId("bob")


def device(id_: str, value: str, kind: DeviceKind = DeviceKind.GOOGLE) -> Device:
    return Device(id=id_, kind=kind, value=value, app_name="main")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def bus(database: Database, clock: FakeClock) -> AsyncIterator[LocalBus]:
    service = PushService(
        database,
        settings=PushSettings(devices_per_user=3),
        metrics=PushMetrics(CollectorRegistry()),
        clock=clock,
    )
    await expand(database)
    bus = LocalBus(service="push")
    await bus.serve(service)
    yield bus
    await bus.close()


@pytest.fixture
def push(bus: LocalBus) -> Push:
    return bus.proxy(Push)


async def ids(push: Push, user_id: UserId) -> list[str]:
    return [one["_id"] for one in await push.tokens_of(user_id)]


async def test_a_device_registers_again(push: Push, clock: FakeClock) -> None:
    """Under its id, with a new token: one registration, its first moment kept."""
    first = await push.register_token(ANN, device("d1", "t1"), "login")
    clock.advance(5)
    second = await push.register_token(ANN, device("d1", "t2"), "login")

    assert second["createdAt"] == first["createdAt"]
    assert second["_updatedAt"] > first["_updatedAt"]
    assert [one["token"] for one in await push.tokens_of(ANN)] == [{"gcm": "t2"}]


async def test_a_device_changes_hands(push: Push) -> None:
    """Whoever holds it takes it over, under its old id or a new one."""
    await push.register_token(ANN, device("d1", "t1"))
    await push.register_token(ANN, device("d2", "t2"))
    same = await push.register_token(BOB, device("d1", "t1"))
    other = await push.register_token(BOB, device("d3", "t2"))

    assert (same["_id"], other["_id"]) == ("d1", "d3")
    assert await ids(push, ANN) == []
    assert sorted(await ids(push, BOB)) == ["d1", "d3"]


async def test_an_id_alone_takes_nothing_over(push: Push) -> None:
    """Somebody who guessed it gets a registration of their own."""
    await push.register_token(ANN, device("d1", "t1"))
    made = await push.register_token(BOB, device("d1", "t9"))

    assert made["_id"] != "d1"
    assert await ids(push, ANN) == ["d1"]
    assert await ids(push, BOB) == [made["_id"]]


async def test_two_at_once_under_one_id(push: Push) -> None:
    """Both are registered, one of them under another id."""
    await asyncio.gather(
        *(push.register_token(UserId(f"u{n}"), device("same", f"t{n}")) for n in range(8))
    )
    found = [await ids(push, UserId(f"u{n}")) for n in range(8)]

    assert all(len(one) == 1 for one in found)
    assert len({one[0] for one in found}) == 8


async def test_the_oldest_of_too_many_goes(push: Push, clock: FakeClock) -> None:
    """A user has at most as many as allowed."""
    for number in range(5):
        await push.register_token(ANN, device(f"d{number}", f"t{number}"))
        clock.advance(1)

    assert await ids(push, ANN) == ["d4", "d3", "d2"]


async def test_removing(push: Push) -> None:
    """Only one's own, by any kind of token; then all of a user."""
    await push.register_token(ANN, device("d1", "t1", DeviceKind.APPLE))
    await push.register_token(ANN, device("d2", "t2", DeviceKind.WEB))

    assert not await push.remove_token(BOB, "t1")
    assert await push.remove_token(ANN, "t1")
    assert not await push.remove_token(ANN, "t1")
    await push.forget_user(ANN)
    assert await ids(push, ANN) == []


async def test_devices_go_with_the_login_and_the_user(
    push: Push, bus: LocalBus, database: Database
) -> None:
    """As soon as the change is told."""
    users = database["users"]
    tokens = [{"hashedToken": "one"}, {"hashedToken": "two"}]
    await users.insert_one({"_id": ANN, "services": {"resume": {"loginTokens": tokens}}})
    await push.register_token(ANN, device("d1", "t1"), "one")
    await push.register_token(ANN, device("d2", "t2"), "two")
    await push.register_token(ANN, device("d3", "t3"))
    await bus.publish(UserChanged(user_id=ANN))
    await bus.settled()
    assert sorted(await ids(push, ANN)) == ["d1", "d2", "d3"]

    await users.update_one({"_id": ANN}, {"$set": {"services.resume.loginTokens": tokens[1:]}})
    await bus.publish(UserChanged(user_id=ANN))
    await bus.settled()
    assert sorted(await ids(push, ANN)) == ["d2", "d3"]

    await bus.publish(UserChanged(user_id=ANN, deleted=True))
    await bus.settled()
    assert await ids(push, ANN) == []


async def test_every_query_uses_an_index(push: Push, database: Database) -> None:
    """However many devices there are."""
    devices = database["_raix_push_app_tokens"]
    await push.register_token(ANN, device("d1", "t1"))
    for query in (
        {"userId": ANN},
        {"token.gcm": "t1", "appName": "main", "_id": {"$ne": "x"}},
        {"$or": [{f"token.{kind.value}": "t1", "userId": ANN} for kind in DeviceKind]},
    ):
        plan = await database.command(
            "explain", {"find": devices.name, "filter": query}, verbosity="queryPlanner"
        )
        assert "COLLSCAN" not in str(plan["queryPlanner"]["winningPlan"])
