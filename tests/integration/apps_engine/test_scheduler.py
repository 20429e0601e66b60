"""What apps keep and plan, on a real database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from hubbub.apps.manifest import Manifest
from hubbub.clock import SystemClock
from hubbub.contracts.apps import LogLine
from hubbub.errors import BadRequest, Unavailable
from hubbub.ids import UserId
from hubbub.mongo import Database
from hubbub.tasks import owned
from services.apps_engine.bridge import Who
from services.apps_engine.metrics import AppsMetrics
from services.apps_engine.running import Declared, RunningApp
from services.apps_engine.scheduler import CLAIMED_FOR, Scheduler
from services.apps_engine.store import AppsStore
from tests.waiting import eventually

pytestmark = pytest.mark.integration

MANIFEST = Manifest.parse(
    'id = "planner"\nname = "P"\nversion = "1.0.0"\npermissions = ["schedule"]'
)
PAST = timedelta(hours=1)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


class Doing:
    """An app that notes its jobs, and does them as it is told to."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.at_once = self.most_at_once = 0
        self.fails: list[Exception] = []
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def call(self, name: str, args: dict[str, Any], deadline: float | None = None) -> Any:
        assert name == "job"
        if self.fails:
            raise self.fails.pop(0)
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        await self.go_on.wait()
        self.at_once -= 1
        self.done.append(args["id"])
        return None

    async def run(self) -> None:
        return

    async def stop(self) -> None:
        return


@pytest.fixture
async def store(database: Database) -> AppsStore:
    store = AppsStore(database)
    await store.prepare()
    return store


@pytest.fixture
def doing() -> Doing:
    return Doing()


@pytest.fixture
async def scheduler(store: AppsStore, doing: Doing) -> AsyncIterator[Scheduler]:
    who = Who("planner", UserId("planner.bot"), "planner.bot", frozenset({"schedule"}))
    app = RunningApp(who, MANIFEST, cast(Any, None), doing, AppsMetrics(), Declared())
    made = Scheduler(store.jobs, lambda: {"planner": app}, clock=SystemClock(), now=now)
    async with owned(made.run()):
        yield made


async def plan(store: AppsStore, job_id: str, due: datetime, **more: Any) -> None:
    job = {"name": "x", "data": "null", "due": due, **more}
    assert await store.jobs.save("planner", job_id, job, limit=10)


async def left(store: AppsStore) -> list[str]:
    return [job["id"] for job in await store.jobs.of_app("planner")]


async def test_what_was_missed_is_done_once(
    store: AppsStore, doing: Doing, scheduler: Scheduler
) -> None:
    await plan(store, "often", now() - PAST, cron="*/5 * * * *")
    await plan(store, "once", now() - PAST)
    await plan(store, "later", now() + PAST)
    scheduler.planned()

    async def settled() -> bool:
        return await left(store) == ["often", "later"] and not doing.at_once

    await eventually(settled)
    assert sorted(doing.done) == ["often", "once"]
    (often, _) = await store.jobs.of_app("planner")
    assert now() < often["due"] <= now() + timedelta(minutes=5)
    assert "claim" not in often


async def test_never_two_at_a_time(store: AppsStore, doing: Doing, scheduler: Scheduler) -> None:
    doing.go_on.clear()
    for number in range(5):
        await plan(store, f"job-{number}", now() - PAST)
    scheduler.planned()
    await eventually(lambda: doing.at_once == 1)
    # Somebody else who looks finds it taken.
    until = now() + CLAIMED_FOR
    others = [await store.jobs.claim("planner", now(), until, "another") for _ in range(5)]
    assert sum(job is not None for job in others) == 4
    doing.go_on.set()
    await eventually(lambda: len(doing.done) == 1)
    assert doing.most_at_once == 1


async def test_a_job_waits_for_an_app_that_is_started_again(
    store: AppsStore, doing: Doing, scheduler: Scheduler
) -> None:
    doing.fails = [Unavailable()]
    await plan(store, "patient", now() - PAST)
    scheduler.planned()
    await eventually(lambda: doing.done == ["patient"])
    await eventually(lambda: left_now(store))


async def left_now(store: AppsStore) -> bool:
    return not await left(store)


async def test_a_job_that_fails_is_not_repeated(
    store: AppsStore, doing: Doing, scheduler: Scheduler
) -> None:
    doing.fails = [BadRequest("no")]
    await plan(store, "failing", now() - PAST)
    scheduler.planned()
    await eventually(lambda: left_now(store))
    assert doing.done == []


async def test_a_job_that_is_planned_anew_while_it_runs_stays(
    store: AppsStore, doing: Doing, scheduler: Scheduler
) -> None:
    doing.go_on.clear()
    await plan(store, "again", now() - PAST)
    scheduler.planned()
    await eventually(lambda: doing.at_once == 1)
    await plan(store, "again", now() + PAST)
    doing.go_on.set()
    await eventually(lambda: doing.done == ["again"])
    assert await left(store) == ["again"]


async def test_limits_of_what_is_planned_and_kept(store: AppsStore) -> None:
    for number in range(3):
        assert await store.data.set("planner", f"k/{number}", "1", limit=3)
    assert not await store.data.set("planner", "k/3", "1", limit=3)
    assert await store.data.set("planner", "k/0", "2", limit=3)
    assert await store.data.get("planner", "k/0") == "2"
    await plan(store, "one", now() + PAST)
    job = {"name": "x", "data": "null", "due": now()}
    assert not await store.jobs.save("planner", "two", job, limit=1)
    await store.jobs.remove("planner", "one")
    assert await store.jobs.save("planner", "two", job, limit=1)
    await store.jobs.remove_app("planner")
    assert await store.jobs.of_app("planner") == []


async def test_each_app_has_its_own(store: AppsStore) -> None:
    """However it names its keys."""
    await store.data.set("planner", "a", "1", limit=9)
    await store.data.set("planner-two", "a", "2", limit=9)
    await store.data.set("planner", "../planner-two/a", "3", limit=9)
    assert await store.data.get("planner-two", "a") == "2"
    assert await store.data.keys("planner", "") == ["../planner-two/a", "a"]
    assert await store.data.keys("planner-two", "") == ["a"]
    assert await store.data.keys("planner", "../") == ["../planner-two/a"]
    assert await store.data.delete("planner", "a")
    assert not await store.data.delete("planner", "a")
    await store.data.remove_app("planner")
    assert await store.data.keys("planner", "") == []
    assert await store.data.get("planner-two", "a") == "2"


async def test_packages_come_in_parts(store: AppsStore) -> None:
    expires, ann = now() + PAST, UserId("ann")
    await store.packages.begin("p", ann, expires)
    assert await store.packages.expiry("p", UserId("bob")) is None
    await store.packages.add("p", 1, b"two", expires)
    assert await store.packages.read("p") is None
    await store.packages.add("p", 0, b"one", expires)
    await store.packages.add("p", 0, b"one", expires)
    assert await store.packages.sizes("p") == {0: 3, 1: 3}
    await store.packages.keep("p")
    assert await store.packages.read("p") == b"onetwo"
    assert await store.packages.expiry("p", ann) is None
    await store.packages.remove("p")
    assert await store.packages.read("p") is None


async def test_logs(store: AppsStore) -> None:
    lines = [("planner", LogLine(at=now(), level="info", text=str(number))) for number in range(5)]
    await store.logs.add(lines, now() + PAST)
    assert [line.text for line in await store.logs.last("planner", 3)] == ["2", "3", "4"]
    await store.logs.remove_app("planner")
    assert await store.logs.last("planner", 3) == []


async def test_apps_are_found(store: AppsStore) -> None:
    await store.apps.save({"_id": "b", "status": "x"})
    await store.apps.save({"_id": "a", "status": "x"})
    assert [app["_id"] for app in await store.apps.all()] == ["a", "b"]
    changed = await store.apps.change("a", {"status": "y"})
    assert changed == {"_id": "a", "status": "y"}
    assert await store.apps.change("none", {"status": "y"}) is None
    await store.apps.remove("a")
    assert await store.apps.one("a") is None
