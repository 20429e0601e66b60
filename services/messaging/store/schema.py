"""Collections, their names, indexes and options."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, TypeAlias

from bson.codec_options import CodecOptions, DatetimeConversion
from pymongo import ASCENDING, DESCENDING, TEXT, IndexModel
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import CollectionInvalid, OperationFailure

from hubbub.mongo import Database, Document

Collection: TypeAlias = AsyncCollection[Document]

MESSAGES: Final = "rocketchat_message"
ROOMS: Final = "rocketchat_room"
MEMBERSHIPS: Final = "rocketchat_subscription"
SETTINGS: Final = "rocketchat_settings"
TRASH: Final = "rocketchat__trash"
USERS: Final = "users"
STATISTICS: Final = "rocketchat_statistics"
CHORES: Final = "hubbub_chores"
INVITES: Final = "rocketchat_invites"
REPORTS: Final = "rocketchat_moderation_reports"

_INDEX_EXISTS_OTHERWISE = 85, 86  # IndexOptionsConflict, IndexKeySpecsConflict


class Collections:
    """The collections messaging works with.

    Dates that Python cannot hold are clamped and broken UTF-8 is replaced: one such document,
    written by any tool, must not make a room unreadable.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        options: CodecOptions[Any] = database.codec_options.with_options(
            tz_aware=True,
            datetime_conversion=DatetimeConversion.DATETIME_CLAMP,
            unicode_decode_error_handler="replace",
        )
        lenient = database.with_options(codec_options=options)
        self.messages: Collection = lenient[MESSAGES]
        self.rooms: Collection = lenient[ROOMS]
        self.memberships: Collection = lenient[MEMBERSHIPS]
        self.settings: Collection = lenient[SETTINGS]
        self.trash: Collection = lenient[TRASH]
        self.users: Collection = lenient[USERS]
        self.statistics: Collection = lenient[STATISTICS]
        self.chores: Collection = lenient[CHORES]
        self.invites: Collection = lenient[INVITES]
        self.reports: Collection = lenient[REPORTS]

    async def now(self) -> datetime:
        """The database's time. Clocks of other machines decide nothing."""
        hello = await self.database.command("hello", codec_options=self.database.codec_options)
        now: datetime = hello["localTime"]
        return now

    async def prepare(self, *, trash_days: int) -> None:
        """Make collections, options and indexes that are missing. Repeating it is cheap."""
        await self._create(MEMBERSHIPS, changeStreamPreAndPostImages={"enabled": True})
        for name in (MESSAGES, ROOMS, SETTINGS, TRASH, CHORES, INVITES, REPORTS):
            await self._create(name)
        await self.messages.create_indexes(_MESSAGE_INDEXES)
        await self.rooms.create_indexes(_ROOM_INDEXES)
        await self.memberships.create_indexes(_MEMBERSHIP_INDEXES)
        await self.settings.create_indexes([IndexModel([("public", ASCENDING)])])
        await self.trash.create_indexes(_TRASH_INDEXES)
        await self.statistics.create_indexes(
            [IndexModel([("createdAt", DESCENDING), ("_id", DESCENDING)])]
        )
        await self.chores.create_indexes([IndexModel([("due", ASCENDING)])])
        await self.invites.create_indexes(_INVITE_INDEXES)
        await self.reports.create_indexes(_REPORT_INDEXES)
        await self._expire_trash(trash_days * 86_400)

    async def _create(self, name: str, **options: Any) -> None:
        # Inside a transaction collections cannot be made under load, so they exist before.
        try:
            await self.database.create_collection(name, check_exists=False, **options)
        except (CollectionInvalid, OperationFailure) as error:
            if isinstance(error, OperationFailure) and error.code != 48:  # NamespaceExists
                raise
            # Changing a collection waits for every open transaction on it, also for one whose
            # owner was killed, and everybody else then waits behind it: only if there is need.
            if options and not await self._has(name, options):
                await self.database.command("collMod", name, **options)

    async def _has(self, name: str, options: dict[str, Any]) -> bool:
        found = await (await self.database.list_collections(filter={"name": name})).to_list()
        return all(one["options"].items() >= options.items() for one in found)

    async def _expire_trash(self, seconds: int) -> None:
        try:
            await self.trash.create_index(
                [("_deletedAt", ASCENDING)], name="expiry", expireAfterSeconds=seconds
            )
        except OperationFailure as error:
            if error.code not in _INDEX_EXISTS_OTHERWISE:
                raise
            index = {"keyPattern": {"_deletedAt": 1}, "expireAfterSeconds": seconds}
            await self.database.command("collMod", TRASH, index=index)


_MESSAGE_INDEXES: Final = [
    IndexModel([("rid", ASCENDING), ("ts", ASCENDING), ("_id", ASCENDING)]),
    # Finds gaps for the counters, and makes a number that is given twice impossible.
    IndexModel(
        [("rid", ASCENDING), ("seq", ASCENDING)],
        unique=True,
        partialFilterExpression={"seq": {"$exists": True}},
    ),
    IndexModel([("rid", ASCENDING), ("_updatedAt", ASCENDING), ("_id", ASCENDING)]),
    IndexModel(
        [("tmid", ASCENDING), ("ts", ASCENDING), ("_id", ASCENDING)],
        partialFilterExpression={"tmid": {"$exists": True}},
    ),
    IndexModel(
        [("rid", ASCENDING), ("tlm", DESCENDING), ("_id", DESCENDING)],
        partialFilterExpression={"tcount": {"$exists": True}},
    ),
    # The message that a discussion hangs on.
    IndexModel([("drid", ASCENDING)], partialFilterExpression={"drid": {"$exists": True}}),
    # What somebody said, when their account goes.
    IndexModel([("u._id", ASCENDING), ("ts", ASCENDING)]),
    # Words, for searches in one room. Without a language no word is left out or changed, and
    # no field of a message is taken for the name of one.
    IndexModel(
        [("rid", ASCENDING), ("msg", TEXT)],
        name="words",
        default_language="none",
        language_override="_language",
    ),
    IndexModel(
        [
            ("rid", ASCENDING),
            ("starred._id", ASCENDING),
            ("ts", DESCENDING),
            ("_id", DESCENDING),
        ],
        name="starred",
        partialFilterExpression={"starred._id": {"$exists": True}},
    ),
    IndexModel(
        [("rid", ASCENDING), ("ts", DESCENDING), ("_id", DESCENDING)],
        name="pinned",
        partialFilterExpression={"pinned": True},
    ),
    IndexModel(
        [
            ("rid", ASCENDING),
            ("mentions._id", ASCENDING),
            ("ts", DESCENDING),
            ("_id", DESCENDING),
        ],
        name="mentions",
        partialFilterExpression={"mentions._id": {"$exists": True}},
    ),
    # Without `tlm`: every reply would have to move an entry per follower.
    IndexModel(
        [("rid", ASCENDING), ("replies", ASCENDING)],
        name="followers",
        partialFilterExpression={"tcount": {"$exists": True}},
    ),
    IndexModel(
        [("rid", ASCENDING), ("ts", DESCENDING), ("_id", DESCENDING)],
        name="discussions",
        partialFilterExpression={"drid": {"$exists": True}},
    ),
]

_ROOM_INDEXES: Final = [
    # All rooms, for administrators.
    IndexModel([("name", ASCENDING), ("_id", ASCENDING)]),
    # Discussions of a room, and the one of a message.
    IndexModel(
        [("prid", ASCENDING), ("lm", DESCENDING), ("_id", DESCENDING)],
        partialFilterExpression={"prid": {"$exists": True}},
    ),
    IndexModel(
        [("pmid", ASCENDING)], unique=True, partialFilterExpression={"pmid": {"$exists": True}}
    ),
    IndexModel(
        [("name", ASCENDING)], unique=True, partialFilterExpression={"name": {"$type": "string"}}
    ),
    IndexModel([("t", ASCENDING), ("name", ASCENDING), ("_id", ASCENDING)]),
    IndexModel([("default", ASCENDING)], partialFilterExpression={"default": True}),
    # Direct rooms by who is in them.
    IndexModel([("uids", ASCENDING)], partialFilterExpression={"uids": {"$exists": True}}),
    # Rooms with messages whose unread counters are not settled.
    IndexModel(
        [("uncounted", ASCENDING)], partialFilterExpression={"uncounted": {"$exists": True}}
    ),
]

_MEMBERSHIP_INDEXES: Final = [
    IndexModel([("rid", ASCENDING), ("u._id", ASCENDING)], unique=True),
    # Without `_updatedAt`: every message of a member would have to move an entry.
    IndexModel([("u._id", ASCENDING), ("rid", ASCENDING)]),
    IndexModel([("rid", ASCENDING), ("u.username", ASCENDING), ("_id", ASCENDING)]),
    IndexModel(
        [("rid", ASCENDING), ("roles", ASCENDING)],
        partialFilterExpression={"roles": {"$exists": True}},
    ),
    IndexModel(
        [("rid", ASCENDING), ("desktopNotifications", ASCENDING)],
        partialFilterExpression={"desktopNotifications": {"$exists": True}},
    ),
    IndexModel(
        [("rid", ASCENDING), ("userHighlights", ASCENDING)],
        partialFilterExpression={"userHighlights": {"$exists": True}},
    ),
]

_TRASH_INDEXES: Final = [
    IndexModel([("__collection__", ASCENDING), ("rid", ASCENDING), ("_deletedAt", ASCENDING)]),
    IndexModel([("__collection__", ASCENDING), ("u._id", ASCENDING), ("_deletedAt", ASCENDING)]),
]

_INVITE_INDEXES: Final = [
    IndexModel([("rid", ASCENDING), ("userId", ASCENDING)]),
    IndexModel([("userId", ASCENDING)]),
    # Those without a date stay.
    IndexModel([("expires", ASCENDING)], name="expiry", expireAfterSeconds=0),
]

_REPORT_INDEXES: Final = [
    IndexModel([("message._id", ASCENDING), ("reportedBy._id", ASCENDING)], unique=True),
    IndexModel([("message.u._id", ASCENDING), ("ts", DESCENDING)]),
    IndexModel([("ts", DESCENDING)]),
]
