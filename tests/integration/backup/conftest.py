"""Databases to restore into, and copies that somebody watches being made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from hubbub.backup import snapshot
from hubbub.backup.manifest import Copied, Manifest, Shape
from hubbub.mongo import Client, Database


def ignore(_: Copied) -> None:
    """Nobody watches."""


async def copy(database: Database, path: Path) -> Manifest:
    return await snapshot.create(database.client, database, path, ignore)


@pytest.fixture
async def other(database: Database) -> AsyncIterator[Database]:
    """An empty database beside that of the test."""
    name = f"{database.name}_other"
    try:
        yield database.client[name]
    finally:
        await database.client.drop_database(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a copy is made."""
    return tmp_path / "a.backup"


Before = Callable[[str], Awaitable[None]]
Interrupt = Callable[[Before], None]


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> Interrupt:
    """Has something done during a copy: before each collection, which is named, is read."""
    read = snapshot._collection

    def install(before: Before) -> None:
        async def reading(database: Database, shape: Shape, *rest: Any) -> Copied:
            await before(shape.name)
            return await read(database, shape, *rest)

        monkeypatch.setattr(snapshot, "_collection", reading)

    return install


def server_of(database: Database) -> Client:
    client: Client = database.client
    return client


async def documents(database: Database) -> dict[str, list[dict[str, Any]]]:
    """All that is in a database, in its order."""
    return {
        name: await database[name].find().to_list()
        for name in sorted(await database.list_collection_names())
        if not name.startswith("system.")
    }
