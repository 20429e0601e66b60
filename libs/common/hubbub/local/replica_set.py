"""Making a lone mongod the primary of a replica set of one.

The set's configuration names the address of its member, and that address is stored with the
data. A port that changed since then is put right by force, which is safe with one member.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pymongo import AsyncMongoClient
from pymongo.errors import OperationFailure, PyMongoError

NAME = "rs0"

_NOT_YET_INITIALIZED = 94
_INVALID_CONFIG = 93  # the configuration does not name this server
_POLL_INTERVAL = 0.05  # seconds

Document = dict[str, Any]


async def make_primary(address: str, member: str | None = None) -> None:
    """Return once the server at `address` (host:port) is the primary of its own set.

    Args:
        member: its address in the set, where the server itself knows another one than we do
            (inside a container).
    """
    client: AsyncMongoClient[Document] = AsyncMongoClient(
        f"mongodb://{address}/?directConnection=true", serverSelectionTimeoutMS=1000
    )
    try:
        while not await _is_primary(client, member or address):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(_POLL_INTERVAL)
    finally:
        await client.close()


async def _is_primary(client: AsyncMongoClient[Document], address: str) -> bool:
    """Look, and do the one step that is missing, if any."""
    try:
        hello = await client.admin.command("hello")
        if hello.get("isWritablePrimary"):
            return True
        await _mend(client, address)
    except PyMongoError:
        return False  # it is still starting
    return False


async def _mend(client: AsyncMongoClient[Document], address: str) -> None:
    try:
        status = await client.admin.command("replSetGetStatus")
    except OperationFailure as error:
        if error.code == _NOT_YET_INITIALIZED:
            await client.admin.command("replSetInitiate", _configuration(address))
            return
        if error.code != _INVALID_CONFIG:
            return  # it reads its configuration at the moment
        status = {"myState": 10}
    if status.get("myState") != 10:  # REMOVED: its own address is not in the configuration
        return
    present = (await client.admin.command("replSetGetConfig"))["config"]
    wanted = {**present, **_configuration(address), "version": present["version"] + 1}
    await client.admin.command("replSetReconfig", wanted, force=True)


def _configuration(address: str) -> Document:
    return {"_id": NAME, "members": [{"_id": 0, "host": address}]}
