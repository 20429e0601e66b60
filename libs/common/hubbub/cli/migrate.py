"""Make the database ready for this version of Hubbub, before its services use it.

    hubbub migrate status       for which versions the database is ready
    hubbub migrate expand       make the collections and indexes that are missing
    hubbub migrate contract     remove what no version in use needs any more

The database is that of HUBBUB_MONGO_URL. `expand` only adds and may be repeated; services of the
version before go on meanwhile, and after it. Several at once wait for each other. A unique index
that documents contradict is not made: the command names them, and fails.

Services need no `expand` where HUBBUB_SCHEMA_AT_START is `make`, as it is if nothing else is said.
`status` has exit status 1 while the database is not ready.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pydantic import BaseModel

from hubbub import mongo
from hubbub.cli import output
from hubbub.cli.failure import Failure
from hubbub.errors import Unavailable
from hubbub.migration.expanding import MigrationFailed, expand
from hubbub.migration.lease import holder_of
from hubbub.migration.version import NEEDED, Version, read
from hubbub.mongo import Database, MongoSettings
from hubbub.settings import load
from hubbub.telemetry.version import version

_ENOUGH = re.compile(r" \(configured timeouts|, full error:|, Timeout:")
"""Where the driver's errors become of use to its makers only."""
_PATIENCE = 24 * 3600.0  # seconds for one answer: an index is made within one call
_PAUSE = 1.0  # seconds between two tries to reach the server

T = TypeVar("T")


class Status(BaseModel):
    """For which versions a database is ready."""

    needed: int
    """What this Hubbub needs."""
    expanded: int
    contracted: int
    ready: bool
    by: str
    at: str
    migrating: str
    """Who does so now."""


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    status = actions.add_parser("status", help="tell for which versions the database is ready")
    output.json_argument(status)
    expanding = actions.add_parser("expand", help="make what is missing")
    expanding.add_argument(
        "--within",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="to wait for the database, and for others that migrate it (%(default)s)",
    )
    actions.add_parser("contract", help="remove what no version in use needs any more")


def main(chosen: argparse.Namespace) -> int:
    if chosen.action == "status":
        return _tell(_with_database(_status), as_json=chosen.json)
    if chosen.action == "contract":
        print(f"there is nothing to contract: schema {NEEDED} replaces nothing of an earlier one")
        return 0
    holder = f"{socket.gethostname()}/{os.getpid()}"
    within: float = chosen.within

    async def work(database: Database) -> Version:
        return await expand(database, holder=holder, by=version(), within=within, tell=_say)

    made = _with_database(work, within=within)
    print(f"the database is ready for Hubbub {version()}: schema {made.expanded}")
    return 0


async def _status(database: Database) -> Status:
    found = await read(database)
    return Status(
        needed=NEEDED,
        expanded=found.expanded,
        contracted=found.contracted,
        ready=found.is_ready,
        by=found.by,
        at=found.at.isoformat(timespec="seconds") if found.at else "",
        migrating=await holder_of(database),
    )


def _tell(status: Status, *, as_json: bool) -> int:
    if as_json:
        print(output.as_json(status.model_dump()))
    else:
        print(f"this Hubbub needs schema {status.needed}")
        if status.expanded:
            print(
                f"the database has {status.expanded}, made by Hubbub {status.by} on {status.at}; "
                f"versions from schema {status.contracted} on can use it"
            )
        else:
            print("the database was never migrated: run `hubbub migrate expand`")
        if status.migrating:
            print(f"{status.migrating} migrates it now")
    return 0 if status.ready else 1


def _with_database(work: Callable[[Database], Awaitable[T]], *, within: float = 0.0) -> T:
    """Do `work` on the database of the settings. Raises: Failure: it cannot be had, or refuses."""

    async def run() -> T:
        doing = asyncio.ensure_future(_connected(work, within))
        # The first process of a container ignores signals that it does not ask for.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, doing.cancel)
        return await doing

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise Failure("it was stopped before it was done; repeat it") from None
    except (MigrationFailed, mongo.UnusableDatabase, Unavailable) as error:
        raise Failure(str(error)) from None
    except mongo.Unreachable as error:
        raise Failure(f"MongoDB: {_ENOUGH.split(str(error))[0]}") from None


async def _connected(work: Callable[[Database], Awaitable[T]], within: float) -> T:
    settings = load(MongoSettings).model_copy(update={"socket_timeout": _PATIENCE})
    client = mongo.connect(settings, app_name="hubbub-migrate")
    try:
        await _reach(client, settings, within)
        return await work(mongo.database_of(client))
    finally:
        await client.close()


async def _reach(client: mongo.Client, settings: MongoSettings, within: float) -> None:
    """Wait for the server. Raises: Unreachable, UnusableDatabase."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    told = False
    while True:
        try:
            await mongo.check(client)
        except mongo.Unreachable:
            if loop.time() >= deadline:
                raise
        else:
            return
        if not told:
            _say(f"waiting for {settings.shown_url}")
            told = True
        await asyncio.sleep(_PAUSE)


def _say(text: str) -> None:
    """Progress. At once: it may be read in the log of a container."""
    print(text, flush=True)
