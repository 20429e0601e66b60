"""Make a user of MongoDB for each service, with the rights that it needs and no others.

    HUBBUB_MONGO_URL=mongodb://root@…/hubbub hubbub mongo-users passwords

Run it as a user that may make users, with the URL of the database that services will use. It
makes or updates a role and a user per service, and writes the passwords that it makes into the
folder, one file `<service>` each; those that are there stay. Users are of the database itself
(`authSource` is its name). Services then run with HUBBUB_SCHEMA_AT_START=wait, since only
the user `migrate` may make indexes: `hubbub migrate expand`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
from pathlib import Path

from hubbub import mongo
from hubbub.cli.failure import Failure
from hubbub.mongo import MongoSettings
from hubbub.mongo_rights import privileges, role_name, users
from hubbub.settings import load

_PASSWORD_BYTES = 24


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="where the passwords are, or shall be")


def main(chosen: argparse.Namespace) -> int:
    try:
        passwords = {user: _password(chosen.folder / user) for user in users()}
        database = asyncio.run(_make(passwords))
    except OSError as error:
        raise Failure(f"the passwords cannot be written: {error}") from None
    except mongo.UnusableDatabase as error:
        raise Failure(str(error)) from None
    except mongo.Unreachable as error:
        reason = str(error).partition(", full error:")[0]
        raise Failure(f"MongoDB refused, or did not answer: {reason}") from None
    print(f"{len(passwords)} users of the database {database}; their passwords are in")
    print(chosen.folder)
    return 0


def _password(file: Path) -> str:
    """What `file` holds, made if there is none; only its owner can read it."""
    if file.exists():
        return file.read_text().strip()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = secrets.token_urlsafe(_PASSWORD_BYTES)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(f"{made}\n")
    return made


async def _make(passwords: dict[str, str]) -> str:
    """Make or update roles and users; returns the database's name.

    Raises: UnusableDatabase, Unreachable.
    """
    client = mongo.connect(load(MongoSettings), app_name="hubbub-mongo-users")
    try:
        await mongo.check(client)
        database = mongo.database_of(client)
        for user, password in passwords.items():
            role = role_name(user, database.name)
            there = (await client.admin.command("rolesInfo", role))["roles"]
            await client.admin.command(
                "updateRole" if there else "createRole",
                role,
                privileges=privileges(user, database.name),
                roles=[],
            )
            there = (await database.command("usersInfo", user))["users"]
            await database.command(
                "updateUser" if there else "createUser",
                user,
                pwd=password,
                roles=[{"role": role, "db": "admin"}],
            )
        return database.name
    finally:
        await client.close()
