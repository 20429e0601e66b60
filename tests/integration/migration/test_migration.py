"""The schema of a database: made by all services' migrations, one process at a time."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import metadata
from pathlib import Path

import orjson
import pytest
from pymongo.errors import OperationFailure
from structlog.testing import capture_logs

from hubbub.backup import restoring, schema, snapshot
from hubbub.migration import lease, version
from hubbub.migration.expanding import MigrationFailed, expand
from hubbub.migration.steps import steps
from hubbub.migration.version import NEEDED, SCHEMAS, Version, read
from hubbub.mongo import Client, Database
from hubbub.runtime import CannotStart, Process, Stopped
from tests.waiting import eventually

pytestmark = pytest.mark.integration


def _ignore(_: str) -> None:
    """Nobody reads it."""


async def _expand(database: Database, **changes: object) -> Version:
    chosen: dict[str, object] = {"holder": "test", "within": 30.0, "tell": _ignore, "by": "1.2.3"}
    return await expand(database, **(chosen | changes))  # type: ignore[arg-type]


async def _indexes(database: Database) -> dict[str, list[dict[str, object]]]:
    shapes = await schema.read(database)
    return {name: shape.indexes for name, (_, shape) in shapes.items()}


async def test_everything_is_made_once(database: Database) -> None:
    """Also what is made in a moment by several processes; nothing is made by a repetition."""
    assert await read(database) == Version()
    told: list[str] = []

    made = await _expand(database, tell=told.append)

    assert told == list(steps())
    assert (made.expanded, made.contracted, made.by) == (NEEDED, 0, "1.2.3")
    assert made.is_ready
    first = await _indexes(database)
    assert {"users", "rocketchat_message", "rocketchat_subscription"} <= first.keys()
    assert {"usersSessions", "hubbub_leases"}.isdisjoint(first)  # no backup has these

    again = await _expand(database, by="1.2.4")
    assert await _indexes(database) == first
    assert (again.expanded, again.by) == (NEEDED, "1.2.4")


async def test_each_service_that_keeps_something_has_a_migration() -> None:
    """The streamer and the operator keep nothing there, and the hub a lease without an index."""
    services = {entry.name for entry in metadata.entry_points(group="hubbub.services")}

    assert services - set(steps()) == {"ddp-streamer", "operator", "stream-hub"}


async def test_two_wait_for_each_other(database: Database) -> None:
    began, go_on = asyncio.Event(), asyncio.Event()
    told: list[str] = []

    async def slow(_: Database) -> None:
        began.set()
        await go_on.wait()

    async with asyncio.TaskGroup() as tasks:
        first = tasks.create_task(_expand(database, holder="first", services={"slow": slow}))
        await began.wait()
        assert await lease.holder_of(database) == "first"

        with pytest.raises(MigrationFailed, match="first migrates this database"):
            await _expand(database, holder="hasty", within=0.0, services={})
        second = tasks.create_task(
            _expand(database, holder="second", tell=told.append, services={})
        )
        await eventually(lambda: told, within=20)
        assert told == ["waiting for first, which migrates this database"]
        assert not second.done()
        go_on.set()

    assert first.result().is_ready
    assert second.result().is_ready
    assert await lease.holder_of(database) == ""


async def test_a_lease_that_is_lost_ends_the_work(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that was frozen for long does not go on beside the one that followed it."""
    monkeypatch.setattr(lease, "_RENEW", 0.05)
    cancelled = False

    async def robbed(_: Database) -> None:
        nonlocal cancelled
        await database[lease.LEASES].update_one({"_id": lease.LEASE}, {"$set": {"holder": "other"}})
        try:
            await asyncio.Event().wait()
        finally:
            cancelled = True

    with pytest.raises(MigrationFailed, match="taken by somebody else"):
        await _expand(database, services={"robbed": robbed})
    assert cancelled
    assert await read(database) == Version()


async def test_a_restored_database_is_not_ready(database: Database, tmp_path: Path) -> None:
    """What a copy leaves out has lost its indexes."""
    await _expand(database)
    client: Client = database.client
    await snapshot.create(client, database, tmp_path / "a.backup", lambda _: None)

    await restoring.restore(database, tmp_path / "a.backup", lambda _: None, force=True)

    assert await read(database) == Version()
    assert len(await database.usersSessions.index_information()) <= 1
    assert (await _expand(database)).is_ready
    assert len(await database.usersSessions.index_information()) > 1


async def test_the_lease_of_the_dead_runs_out(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "TTL", 0.2)
    assert await lease._take(database, "dead")

    assert (await _expand(database, services={})).is_ready


async def test_twins_are_named_and_nothing_is_written(database: Database) -> None:
    """Those of each service; what others need is made all the same."""
    await database.users.insert_many(
        [
            {"_id": "a", "emails": [{"address": "ana@example.org"}, {"address": "x@example.org"}]},
            {"_id": "b", "emails": [{"address": "ana@example.org"}]},
            {"_id": "c", "emails": [{"address": "cy@example.org"}]},
        ]
    )
    await database.rocketchat_subscription.insert_many(
        [{"_id": number, "rid": "r", "u": {"_id": "a"}} for number in (1, 2)]
    )
    await database.rocketchat_custom_user_status.insert_many([{"_id": "s"}, {"_id": "t"}])

    with pytest.raises(MigrationFailed) as caught:
        await _expand(database)

    text = str(caught.value)
    assert "emails.address 'ana@example.org': 'a', 'b'" in text
    assert "cy@example.org" not in text
    assert "rocketchat_subscription: the index rid_1_u._id_1 wants each rid with u._id once" in text
    assert "rid 'r', u._id 'a': 1, 2" in text
    assert "name None: 's', 't'" in text  # they have none, which is the same
    assert await read(database) == Version()
    assert "_raix_push_app_tokens" in await _indexes(database)

    await database.users.delete_one({"_id": "b"})
    await database.rocketchat_subscription.delete_one({"_id": 2})
    await database.rocketchat_custom_user_status.delete_one({"_id": "t"})
    assert (await _expand(database)).is_ready


async def test_secrets_of_twins_are_not_shown(database: Database) -> None:
    tokens = {"resume": {"loginTokens": [{"hashedToken": "who-knows-it-may-sign-in"}]}}
    await database.users.insert_many([{"_id": id_, "services": tokens} for id_ in "ab"])

    with pytest.raises(MigrationFailed, match=r"\(not shown\): 'a', 'b'") as caught:
        await _expand(database)
    assert "who-knows" not in str(caught.value)


async def test_a_database_that_is_too_far_ahead_is_refused(
    database: Database, process: Process
) -> None:
    """After a contraction the version before cannot work, and says so."""
    await _expand(database, services={})
    ahead = {"expanded": NEEDED + 2, "contracted": NEEDED + 1}
    await database[SCHEMAS].update_one({}, {"$set": ahead})

    with pytest.raises(MigrationFailed, match=f"contracted to schema {NEEDED + 1}"):
        await _expand(database)
    with pytest.raises(CannotStart, match="run a later version, or restore a backup"):
        await process.schema(database)


async def test_a_later_expansion_is_no_obstacle(database: Database, process: Process) -> None:
    """As after a rollback; and an earlier version does not take the number back."""
    await _expand(database, services={})
    await database[SCHEMAS].update_one({}, {"$set": {"expanded": NEEDED + 1}})

    await process.schema(database)
    assert (await _expand(database, services={})).expanded == NEEDED + 1


@pytest.fixture
def process() -> Process:
    return Process("test")


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Services make nothing."""
    monkeypatch.setenv("HUBBUB_SCHEMA_AT_START", "wait")


def _step(made: list[str]) -> Callable[[Database], Awaitable[None]]:
    async def step(database: Database) -> None:
        made.append(database.name)

    return step


async def test_a_service_makes_what_it_lacks(database: Database, process: Process) -> None:
    made: list[str] = []

    await process.schema(database, _step(made))

    assert made == [database.name]


async def test_a_schema_that_may_not_be_read_is_said(
    database: Database, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, not at every look; the service starts when it may."""
    monkeypatch.setattr("hubbub.runtime.process._SCHEMA_PAUSE", 0.02)
    looks = 0

    async def refused(database: Database) -> version.Version:
        nonlocal looks
        looks += 1
        if looks < 5:
            raise OperationFailure("not authorized on hubbub", code=13)
        return version.Version()

    monkeypatch.setattr(version, "read", refused)
    with capture_logs() as logs:
        await process.schema(database)
    assert [line["event"] for line in logs] == ["schema_unreadable"]
    assert "not authorized" in logs[0]["reason"]


@pytest.mark.usefixtures("waits")
async def test_a_service_waits_for_the_migration(
    database: Database, process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not started, not ready, one line in the log; and it makes nothing itself."""
    monkeypatch.setattr("hubbub.runtime.process._SCHEMA_PAUSE", 0.02)
    made: list[str] = []
    with capture_logs() as logs:
        async with _running(process.schema(database, _step(made))) as waiting:
            await eventually(lambda: logs, within=20)
            await asyncio.sleep(0.3)  # many looks: it does not say it again
            assert not waiting.done()
            assert not process.health.startup().ok
            assert "waiting for the schema" in str(process.health.readiness())
            await _expand(database, services={})
            async with asyncio.timeout(20):
                await waiting
    events = [line["event"] for line in logs]
    assert events == ["waiting_for_schema", "schema_ready"]
    assert logs[0]["needed"] == NEEDED
    assert made == []


@pytest.mark.usefixtures("waits")
async def test_a_service_that_waits_can_be_stopped(database: Database, process: Process) -> None:
    async with _running(process.schema(database)) as waiting:
        await eventually(
            lambda: process.health.readiness().checks[0].detail != "starting", within=20
        )
        process.stop("test")
        with pytest.raises(Stopped):
            async with asyncio.timeout(20):
                await waiting


@asynccontextmanager
async def _running(work: Awaitable[None]) -> AsyncIterator[asyncio.Future[None]]:
    future = asyncio.ensure_future(work)
    try:
        yield future
    finally:
        future.cancel()
        await asyncio.gather(future, return_exceptions=True)


async def test_the_command(database: Database, mongo_url: str) -> None:
    """Before and after, for people and for programs."""
    url = re.sub(r"(mongodb://[^/]+)/[^?]*", rf"\1/{database.name}", mongo_url)
    assert database.name in url

    status, said = await _run(url, "status")
    assert (status, "never migrated" in said) == (1, True)
    status, said = await _run(url, "expand")
    assert status == 0, said
    assert said.splitlines()[: len(steps())] == list(steps())
    assert said.endswith(f"schema {NEEDED}\n")
    status, said = await _run(url, "status", "--json")
    assert status == 0
    assert orjson.loads(said)["ready"] is True
    status, said = await _run(url, "contract")
    assert (status, "nothing to contract" in said) == (0, True)
    assert (await version.read(database)).contracted == 0

    memberships = database.rocketchat_subscription
    await memberships.drop_index("rid_1_u._id_1")
    await memberships.insert_many([{"_id": n, "rid": "r", "u": {"_id": "a"}} for n in (1, 2)])
    status, said = await _run(url, "expand")
    assert status == 1
    assert "hubbub:   rid 'r', u._id 'a': 1, 2" in said


async def _run(url: str, *arguments: str) -> tuple[int | None, str]:
    """Exit status, and all that is said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "hubbub.cli.main", "migrate", *arguments),
        env={"HUBBUB_MONGO_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return process.returncode, said.decode()
