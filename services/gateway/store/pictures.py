"""Avatars and custom emoji: small pictures, each whole in one document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import pymongo
from bson import Binary
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import DuplicateKeyError

from hubbub.mongo import Database, Document, answering
from services.gateway.store.blobs import QUERY_TIMEOUT

Owner = Literal["user", "room"]

AVATARS: Final = "rocketchat_avatars"
EMOJI: Final = "rocketchat_custom_emoji"
EMOJI_PICTURES: Final = "rocketchat_custom_emoji_pictures"
_MOST: Final = 5000  # emoji in one list


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it is stored."""

    data: bytes
    type: str
    etag: str


class NameTaken(Exception):
    """Another emoji has this name, or has it as an alias."""


class Avatars:
    """At most one picture for each user and room; a new one takes the place of the old one."""

    def __init__(self, database: Database) -> None:
        self._avatars: AsyncCollection[Document] = database[AVATARS]

    async def one(self, owner: Owner, owner_id: str) -> Picture | None:
        """The picture of a user or room."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return _picture(await self._avatars.find_one({"_id": _key(owner, owner_id)}))

    async def put(self, owner: Owner, owner_id: str, picture: Picture, now: datetime) -> None:
        """Keep a picture."""
        document = _stored(picture) | {"owner": owner, "ownerId": owner_id, "_updatedAt": now}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._avatars.replace_one({"_id": _key(owner, owner_id)}, document, upsert=True)

    async def remove(self, owner: Owner, owner_id: str, *, other_than: str | None = None) -> None:
        """Forget a picture, unless it is the one with the tag `other_than`."""
        query: dict[str, Any] = {"_id": _key(owner, owner_id)}
        if other_than is not None:
            query["etag"] = {"$ne": other_than}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._avatars.delete_one(query)


class Emoji:
    """Custom emoji: what clients list, and apart from it their pictures."""

    def __init__(self, database: Database) -> None:
        self._emoji: AsyncCollection[Document] = database[EMOJI]
        self._pictures: AsyncCollection[Document] = database[EMOJI_PICTURES]
        self._trash: AsyncCollection[Document] = database["rocketchat__trash"]

    async def prepare(self) -> None:
        """Make the indexes. Names and aliases are one set: each word stands for one emoji."""
        with answering():
            await self._emoji.create_index([("words", 1)], unique=True, name="words")
            await self._emoji.create_index([("name", 1)], name="name")
            await self._emoji.create_index([("_updatedAt", 1)], name="updated")

    async def one(self, emoji_id: str) -> Document | None:
        """An emoji by id."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._emoji.find_one({"_id": emoji_id})

    async def picture(self, name: str) -> Picture | None:
        """The picture of the emoji of this name."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            emoji = await self._emoji.find_one({"name": name}, {"_id": 1})
            if emoji is None:
                return None
            return _picture(await self._pictures.find_one({"_id": emoji["_id"]}))

    async def create(self, emoji: Document, picture: Picture) -> None:
        """Add an emoji. Raises: NameTaken."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            await self._pictures.insert_one({"_id": emoji["_id"], **_stored(picture)})
            try:
                await self._emoji.insert_one(_with_words(emoji))
            except DuplicateKeyError:
                await self._pictures.delete_one({"_id": emoji["_id"]})
                raise NameTaken from None

    async def update(self, emoji: Document, picture: Picture | None) -> None:
        """Change an emoji, and its picture if there is a new one. Raises: NameTaken."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            try:
                await self._emoji.replace_one({"_id": emoji["_id"]}, _with_words(emoji))
            except DuplicateKeyError:
                raise NameTaken from None
            if picture is not None:
                await self._pictures.replace_one(
                    {"_id": emoji["_id"]}, _stored(picture), upsert=True
                )

    async def remove(self, emoji_id: str, now: datetime) -> bool:
        """Remove an emoji, and keep for a while that it was there. False: there was none."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._emoji.find_one({"_id": emoji_id})
            if found is None:
                return False
            gone = found | {"_deletedAt": now, "__collection__": "emoji"}
            await self._trash.replace_one({"_id": emoji_id}, gone, upsert=True)
            await self._emoji.delete_one({"_id": emoji_id})
            await self._pictures.delete_one({"_id": emoji_id})
        return True

    async def removed_since(self, since: datetime) -> list[Document]:
        """`{"_id", "_deletedAt"}` of the emoji that went since."""
        query = {"__collection__": "emoji", "_deletedAt": {"$gt": since}}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            cursor = self._trash.find(query, {"_deletedAt": 1}).sort("_deletedAt", 1)
            return await cursor.limit(_MOST).to_list()

    async def everything(self, since: datetime | None = None) -> list[Document]:
        """All emoji as clients know them, by name; or those changed after `since`."""
        query = {} if since is None else {"_updatedAt": {"$gt": since}}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            cursor = self._emoji.find(query, {"words": 0}).sort("name", 1)
            return await cursor.limit(_MOST).to_list()


def _key(owner: Owner, owner_id: str) -> str:
    return f"{owner}:{owner_id}"


def _stored(picture: Picture) -> Document:
    return {"data": Binary(picture.data), "type": picture.type, "etag": picture.etag}


def _picture(document: Mapping[str, Any] | None) -> Picture | None:
    if document is None:
        return None
    return Picture(bytes(document["data"]), str(document["type"]), str(document["etag"]))


def _with_words(emoji: Document) -> Document:
    return {**emoji, "words": sorted({emoji["name"], *emoji["aliases"]})}
