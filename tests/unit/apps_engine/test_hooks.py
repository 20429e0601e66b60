"""Which apps are asked before a message is stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from hubbub.apps.manifest import Manifest
from hubbub.clock import SystemClock
from hubbub.contracts.apps import Verdict
from hubbub.errors import Unavailable
from hubbub.ids import UserId
from services.apps_engine.bot_rooms import BotRooms
from services.apps_engine.bridge import Bridge, Who
from services.apps_engine.hooks import Hooks
from services.apps_engine.metrics import AppsMetrics
from services.apps_engine.running import Declared, RunningApp

MANIFEST = Manifest.parse('id = "judge"\nname = "J"\nversion = "1.0.0"')


class Judge:
    """Refuses whatever it is asked about."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def call(self, name: str, args: dict[str, Any], deadline: float | None = None) -> Any:
        self.asked.append(args["message"]["rid"])
        return {"verdict": "refuse", "reason": f"not in {args['message']['rid']}"}

    async def run(self) -> None:
        return

    async def stop(self) -> None:
        return


class Court:
    """Apps that judge, and where their users are members."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = AppsMetrics(self.registry)
        self.apps: dict[str, RunningApp] = {}
        self.members: dict[str, set[str]] = {}
        self.away: asyncio.Event | None = None
        self.rooms = BotRooms(cast(Any, self), SystemClock())
        self.hooks = Hooks(lambda: self.apps, self.rooms, SystemClock(), lambda *_: None)

    def judge(self, name: str, *permissions: str) -> Judge:
        judge, bot = Judge(), UserId(f"{name}.bot")
        who = Who(name, bot, bot, frozenset({"message.hook", *permissions}))
        declared = Declared(hooks=("message_sending",))
        self.apps[name] = RunningApp(
            who, MANIFEST, cast(Bridge, None), judge, self.metrics, declared
        )
        return judge

    async def memberships_of(self, user_id: UserId) -> list[Any]:
        if self.away is not None:
            await self.away.wait()
            raise Unavailable
        return [SimpleNamespace(room_id=room) for room in self.members.get(user_id, ())]

    async def said_in(self, room_id: str) -> Verdict:
        return await self.hooks.before_message({"_id": "m", "rid": room_id, "msg": "x"})


@pytest.fixture
async def court() -> AsyncIterator[Court]:
    court = Court()
    yield court
    await court.rooms.close()


async def test_an_app_is_asked_about_the_rooms_of_its_user(court: Court) -> None:
    judge = court.judge("judge")
    court.members["judge.bot"] = {"own"}

    assert (await court.said_in("own")).reason == "not in own"
    assert (await court.said_in("other")).kind == "allow"
    assert judge.asked == ["own"]

    court.members["judge.bot"] = {"other"}
    court.rooms.forget(UserId("judge.bot"))
    assert (await court.said_in("own")).kind == "allow"
    assert (await court.said_in("other")).reason == "not in other"


async def test_with_the_permission_it_is_asked_about_every_room(court: Court) -> None:
    judge = court.judge("judge", "room.read-all")
    assert (await court.said_in("other")).kind == "refuse"
    assert judge.asked == ["other"]


async def test_nobody_waits_for_what_is_not_known(court: Court) -> None:
    judge, sees_all = court.judge("judge"), court.judge("warden", "room.read-all")
    court.away = asyncio.Event()
    court.away.set()
    assert (await court.said_in("r")).app_id == "warden"
    assert (judge.asked, sees_all.asked) == ([], ["r"])

    court.away.clear()  # and it never answers
    del court.apps["warden"]
    async with asyncio.timeout(30):
        assert (await court.said_in("r")).kind == "allow"
    assert judge.asked == []
    labels = {"app": "judge", "hook": "hook", "outcome": "dropped"}
    assert court.registry.get_sample_value("hubbub_app_calls_total", labels) == 2
