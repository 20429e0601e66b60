"""Copy the database to a file, look whether the copy is good, and put it back.

    hubbub backup create monday.backup
    hubbub backup verify monday.backup --against-scratch
    hubbub backup restore monday.backup
    hubbub backup finish                 after another tool brought the database back

The database is that of HUBBUB_MONGO_URL, else that of the `hubbub up` of this folder; when that
does not run, its MongoDB is started for as long as it takes.

`create` may run while people talk: it reads everything, files included, as of one moment. The
server must be able to read that moment until the copy is finished: for five minutes, unless its
parameter minSnapshotHistoryWindowInSeconds says otherwise. Databases that take longer are for
mongodump or for snapshots of their volume. Leases, connections of users and counters that limit
calls are left out. The file holds password hashes and everybody's messages; only its owner may
read it, and it is not encrypted.

`restore` wants Hubbub stopped and an empty database. Passwords, tokens and rights are those of
the copy again, the ones that were revoked since then too. Clients load anew.

`finish` is for mongorestore and for snapshots of volumes, and wants Hubbub stopped as well: it
removes leases and the connections of users, so that the next hub begins a new log and clients load
anew. With --end-logins everybody has to sign in again, and no token of the copy is good any more.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias, TypeVar

from pydantic import SecretStr

from hubbub import mongo
from hubbub.backup import archive, restoring, snapshot
from hubbub.backup.finishing import Finished, finish
from hubbub.backup.manifest import BackupFailed, Copied, Manifest
from hubbub.cli import output
from hubbub.cli.failure import Failure, WrongUse
from hubbub.local import running, servers
from hubbub.local.folder import locked
from hubbub.local.programs import CannotStart
from hubbub.local.settings import LocalSettings
from hubbub.mongo import Client, Database
from hubbub.settings import load

_ENOUGH = re.compile(r" \(configured timeouts|, full error:|, Timeout:")
"""Where the driver's errors become of use to its makers only."""
_PATIENCE = 3600.0  # seconds for one answer: indexes of large collections are made in one call

T = TypeVar("T")
Work: TypeAlias = Callable[[Client, Database], Awaitable[T]]


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="copy the database to a file")
    verify = actions.add_parser("verify", help="read a copy and compare its checksums")
    verify.add_argument(
        "--against-scratch",
        action="store_true",
        help="restore it into a database beside the real one too, compare, and drop that",
    )
    restore = actions.add_parser("restore", help="make the database what it was")
    restore.add_argument(
        "--force", action="store_true", help="drop what the database has, if it is not empty"
    )
    finish = actions.add_parser("finish", help="end a restore that another tool did")
    finish.add_argument(
        "--end-logins", action="store_true", help="remove all login tokens and access tokens"
    )
    for action in (create, verify, restore):
        action.add_argument("file", type=Path, metavar="FILE")
    for action in (create, verify, restore, finish):
        action.add_argument(
            "--data", type=Path, metavar="FOLDER", help="folder of `hubbub up` (.hubbub)"
        )
        output.json_argument(action)


def main(chosen: argparse.Namespace) -> int:
    if chosen.action == "finish":
        return _finish(chosen)
    path: Path = chosen.file
    tell = _ignore if chosen.json else _tell
    began = time.monotonic()
    try:
        if chosen.action == "create":
            manifest = _with_database(
                chosen.data,
                lambda client, database: snapshot.create(client, database, path, tell),
            )
        elif chosen.action == "restore":
            manifest = _with_database(
                chosen.data,
                lambda _, database: restoring.restore(database, path, tell, force=chosen.force),
                new=True,
            )
        else:
            manifest = archive.verify(path)
            if chosen.against_scratch:
                manifest = _with_database(
                    chosen.data,
                    lambda client, database: restoring.try_out(client, database, path, tell),
                )
    except BackupFailed as error:
        raise Failure(str(error)) from None
    _report(chosen, manifest, time.monotonic() - began)
    return 0


def _finish(chosen: argparse.Namespace) -> int:
    async def work(_: Client, database: Database) -> Finished:
        return await finish(database, end_logins=chosen.end_logins)

    try:
        done = _with_database(chosen.data, work)
    except BackupFailed as error:
        raise Failure(str(error)) from None
    if chosen.json:
        print(output.as_json(asdict(done)))
        return 0
    print(f"forgotten: {done.leases} leases, the connections of {done.connections} users")
    if chosen.end_logins:
        print(f"{done.logins} users have to sign in again")
    print("clients load anew when Hubbub starts")
    return 0


def _with_database(data: Path | None, work: Work[T], *, new: bool = False) -> T:
    """Do `work` on the database at hand. Raises: Failure: it cannot be had, or went away."""

    async def do() -> T:
        async with _database(data, new=new) as (client, database):
            return await work(client, database)

    async def run() -> T:
        doing = asyncio.create_task(do(), name="backup")
        # What was begun is cleared away when somebody stops us, as at the end of a container.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, doing.cancel)
        return await doing

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        raise Failure("it was stopped before it was done") from None
    except CannotStart as error:
        raise Failure(str(error)) from None
    except mongo.UnusableDatabase as error:
        raise Failure(str(error)) from None
    except mongo.Unreachable as error:
        raise Failure(f"MongoDB: {_ENOUGH.split(str(error))[0]}") from None


@asynccontextmanager
async def _database(data: Path | None, *, new: bool) -> AsyncIterator[tuple[Client, Database]]:
    async with _address(data, new=new) as url:
        changed = {"url": SecretStr(url), "socket_timeout": _PATIENCE}
        settings = load(mongo.MongoSettings).model_copy(update=changed)
        client = mongo.connect(settings, app_name="hubbub-backup")
        try:
            await mongo.check(client)
            yield client, mongo.database_of(client)
        finally:
            await client.close()


@asynccontextmanager
async def _address(data: Path | None, *, new: bool) -> AsyncIterator[str]:
    """Where the database is; one of a folder is started if it does not run."""
    settings = load(LocalSettings)
    if settings.mongo_url is not None:
        if data is not None:
            raise WrongUse(
                "--data names a folder and HUBBUB_MONGO_URL a database: which one shall it be?"
            )
        yield settings.mongo_url.get_secret_value()
        return
    folder = data or settings.data
    found = running.read(folder)
    if found is not None:
        yield found.mongo_url
        return
    if not new and not (folder / "mongo").is_dir():
        raise Failure(
            f"there is no database: HUBBUB_MONGO_URL is not set, and {folder} is not the folder "
            "of a `hubbub up`"
        )
    with locked(folder, address="backup"):
        log_file = folder / "log" / "mongod.log"
        async with servers.mongo(folder / "mongo", log_file=log_file) as server:
            yield server.url


def _report(chosen: argparse.Namespace, manifest: Manifest, seconds: float) -> None:
    if chosen.json:
        print(output.as_json(manifest.model_dump()))
        return
    moment = datetime.fromtimestamp(manifest.cluster_time.seconds, UTC)
    what = f"{manifest.count} documents in {len(manifest.collections)} collections"
    file = chosen.file
    size = f"{_bytes(manifest.size)}, {_bytes(file.stat().st_size)} packed"
    done = {
        "create": f"{file}: {what}",
        "restore": f"restored from {file}: {what}",
        "verify": f"{file} is whole: {what}",
    }[chosen.action]
    print(f"{done} ({size}), as of {moment:%Y-%m-%d %H:%M:%S} UTC, in {seconds:.1f} s")
    if chosen.action == "verify" and chosen.against_scratch:
        print("restored beside the real database: documents, indexes and options are the same")
    if chosen.action == "restore":
        print("people sign in with the passwords that they had at that time")


def _tell(copied: Copied) -> None:
    """Progress, for a person who waits."""
    if sys.stderr.isatty():
        print(f"  {copied.name}: {copied.count} documents", file=sys.stderr)


def _ignore(_: Copied) -> None:
    """Programs want the answer alone."""


def _bytes(size: int) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}"
        size //= 1024
    return f"{size} GiB"
