"""A MongoDB where everybody has to sign in: what each service can do there, and what not."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest
import pytest_asyncio
from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure

from hubbub.bus.broker import make_keys
from hubbub.local import servers
from hubbub.local.plans import LAPTOP
from hubbub.mongo_rights import COLLECTIONS, MIGRATE, users
from tests.waiting import eventually

pytestmark = [
    pytest.mark.integration,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(300),
]

Document = dict[str, Any]
_UNAUTHORIZED = 13
_START = 120.0  # seconds until eight processes on a busy machine are ready


class Site(NamedTuple):
    """A guarded server with everybody's account, and a database that is ready."""

    address: str
    passwords: Path

    def url(self, user: str) -> str:
        password = (self.passwords / user).read_text().strip()
        return f"mongodb://{user}:{password}@{self.address}/hubbub?replicaSet=rs0&authSource=hubbub"

    @asynccontextmanager
    async def signed_in(self, user: str) -> AsyncIterator[AsyncMongoClient[Document]]:
        async with AsyncMongoClient[Document](self.url(user)) as client:
            yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("guarded")
    password = secrets.token_urlsafe(12)
    async with servers.mongo(folder) as open_to_all:
        port = open_to_all.port
        async with AsyncMongoClient[Document](open_to_all.url) as client:
            await client.admin.command("createUser", "root", pwd=password, roles=["root"])
    key = folder / "key"
    key.touch(0o600)
    key.write_text(secrets.token_hex(64))
    async with servers.mongo(folder, port=port, key_file=key):
        address = f"{servers.HOST}:{port}"
        root = f"mongodb://root:{password}@{address}/hubbub?replicaSet=rs0&authSource=admin"
        made = Site(address, folder / "passwords")
        for _ in range(2):  # again, it brings what is there in line
            said = await _hubbub("mongo-users", str(made.passwords), HUBBUB_MONGO_URL=root)
            assert f"{len(users())} users" in said
        await _hubbub("migrate", "expand", HUBBUB_MONGO_URL=made.url(MIGRATE))
        yield made


async def _hubbub(*arguments: str, **variables: str) -> str:
    """Run a command to its end; what it said."""
    command = [sys.executable, "-m", "hubbub.cli.main", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**_outside(), **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode()


def _outside() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}


def _insert(collection: str) -> Document:
    return {"insert": collection, "documents": [{"_id": "forbidden"}]}


def _update(collection: str) -> Document:
    change = {"q": {}, "u": {"$set": {"x": 1}}}
    return {"update": collection, "updates": [change]}


def _delete(collection: str) -> Document:
    return {"delete": collection, "deletes": [{"q": {}, "limit": 1}]}


def _find(collection: str) -> Document:
    return {"find": collection, "limit": 1}


def _index(collection: str) -> Document:
    index = {"key": {"ts": 1}, "name": "gone", "expireAfterSeconds": 0}
    return {"createIndexes": collection, "indexes": [index]}


FORBIDDEN_TO_ALL: list[Document] = [
    {"dropDatabase": 1},
    {"drop": "rocketchat_message"},
    {"createUser": "me", "pwd": "x", "roles": ["root"]},
    {"grantRolesToUser": "account", "roles": [{"role": "hubbub-migrate", "db": "admin"}]},
    {"usersInfo": 1},
    {"renameCollection": "hubbub.users", "to": "hubbub.gone"},
    {"create": "mine"},
]
_FOREIGN: Mapping[str, list[Document]] = {
    "account": [
        _find("rocketchat_message"),
        _update("rocketchat_roles"),
        _update("rocketchat_settings"),
        # The audit log: nobody takes anything out of it, or changes what it says.
        _update("hubbub_audit"),
        _delete("hubbub_audit"),
        _index("hubbub_audit"),
    ],
    "authorization": [
        _update("users"),
        _find("rocketchat_message"),
        _find("hubbub_audit"),
        _insert("rocketchat_subscription"),
    ],
    "gateway": [
        _update("users"),
        _find("rocketchat_message"),
        _insert("rocketchat_roles"),
        _find("hubbub_audit"),
        # Who holds the hub's lease decides what clients are told.
        _find("hubbub_leases"),
        _update("hubbub_leases"),
    ],
    "messaging": [_update("users"), _delete("users"), _find("hubbub_audit"), _index("users")],
    "presence": [_insert("users"), _delete("users"), _find("rocketchat_message")],
    "apps-engine": [_find("users"), _find("rocketchat_message"), _find("rocketchat_room")],
    "push": [_update("users"), _find("rocketchat_message"), _find("rocketchat_room")],
    "stream-hub": [
        _insert("rocketchat_message"),
        _update("users"),
        _delete("hubbub_leases"),
        _delete("rocketchat_message"),
    ],
    MIGRATE: [_update("users"), _delete("rocketchat_message"), _insert("hubbub_audit")],
}


@pytest.mark.parametrize("user", users())
async def test_what_is_forbidden_is_refused(site: Site, user: str) -> None:
    """By the server, whatever the code of the service does."""
    common = [one for one in FORBIDDEN_TO_ALL if user != MIGRATE or "create" not in one]
    async with site.signed_in(user) as client:
        for command in [*common, *_FOREIGN[user]]:
            with pytest.raises(OperationFailure) as refused:
                await _target(client, command).command(command)
            assert refused.value.code == _UNAUTHORIZED, (command, refused.value)


def _target(client: AsyncMongoClient[Document], command: Document) -> Any:
    return client["admin" if "renameCollection" in command else "hubbub"]


async def test_everybody_signs_in(site: Site) -> None:
    """There is no way in without an account, and none for those who need no database."""
    assert set(users()) == {*COLLECTIONS, MIGRATE}
    assert not {"ddp-streamer", "operator"} & set(users())
    for file in site.passwords.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    async with AsyncMongoClient[Document](f"mongodb://{site.address}/hubbub") as client:
        with pytest.raises(OperationFailure) as refused:
            await client["hubbub"]["users"].find_one()
    assert refused.value.code == _UNAUTHORIZED


async def test_a_whole_hubbub_works_with_these_rights(site: Site, tmp_path: Path) -> None:
    """Each service as its own user; nothing that they do is refused."""
    keys = tmp_path / "keys"
    async with AsyncExitStack() as stack:
        configuration = make_keys(keys)
        nats = await stack.enter_async_context(
            servers.nats(tmp_path / "nats", configuration=configuration)
        )
        shared = {
            **_outside(),
            **LAPTOP,
            "HUBBUB_LOG_FORMAT": "json",
            "HUBBUB_NATS_URL": nats.url,
            "HUBBUB_NATS_KEYS": str(keys),
            "HUBBUB_OPS_HOST": "127.0.0.1",
            "HUBBUB_SCHEMA_AT_START": "wait",
            "HUBBUB_ADMIN_USERNAME": "admin",
            "HUBBUB_ADMIN_PASSWORD": secrets.token_urlsafe(12),
            "HUBBUB_DRAIN_DEADLINE": "3",
            "HUBBUB_BUS_DRAIN_TIMEOUT": "2",
        }
        services = {name: _free_port() for name in (*COLLECTIONS, "ddp-streamer")}
        doors = {"ddp-streamer": _free_port(), "gateway": _free_port()}
        for name, ops_port in services.items():
            environment = {**shared, "HUBBUB_OPS_PORT": str(ops_port)}
            if name in COLLECTIONS:
                environment["HUBBUB_MONGO_URL"] = site.url(name)
            if name in doors:
                door = "STREAMER" if name == "ddp-streamer" else "GATEWAY"
                environment[f"HUBBUB_{door}_PORT"] = str(doors[name])
                environment[f"HUBBUB_{door}_HOST"] = "127.0.0.1"
            await stack.enter_async_context(_running(name, environment, tmp_path))
        for name, ops_port in services.items():
            await eventually(
                lambda port=ops_port: _is_ready(port),  # type: ignore[misc]
                within=_START,
                what=f"{name} is ready: {(tmp_path / f'{name}.log').read_text()[-2000:]}",
            )
        said = await _hubbub(
            "selftest",
            *("--url", f"http://127.0.0.1:{doors['ddp-streamer']}"),
            *("--api-url", f"http://127.0.0.1:{doors['gateway']}"),
        )
        assert '"step":"all","ok":true' in said
    for name in services:
        log = (tmp_path / f"{name}.log").read_text()
        assert "ops_listening" in log
        assert "not authorized" not in log, name
        assert "OperationFailure" not in log, name
        assert "nats_forbidden" not in log, name


@asynccontextmanager
async def _running(service: str, environment: Mapping[str, str], logs: Path) -> AsyncIterator[None]:
    with (logs / f"{service}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "hubbub.cli.main", "run", service),
            env=environment,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
        )
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _is_ready(port: int) -> bool:
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{port}/readyz") as answer,
        ):
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
