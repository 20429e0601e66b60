"""Users as people see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

import pymongo
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import CollectionInvalid, DuplicateKeyError, OperationFailure

from hubbub.contracts.documents import Paging
from hubbub.ids import UserId
from hubbub.mongo import Database, Document, answering
from hubbub.telemetry.log import get_logger
from services.account.store.fields import CASELESS, QUERY_TIMEOUT, SORTABLE, TOKENS, find_like

log = get_logger(__name__)

_NAMESPACE_EXISTS = 48
_OTHER_INDEX = (85, 86)  # an index with these keys and other options exists


T = TypeVar("T")

_GUARD = "administrators"


class LastAdministrator(Exception):
    """Nobody would be left who is administrator and active."""


class Taken(Exception):
    """Another user has this value. `field` is `username`, `email` or another one."""

    def __init__(self, field: str) -> None:
        super().__init__(field)
        self.field = field


class MongoUserStore:
    """The store on MongoDB. Every method raises `Unavailable` when the database is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._users: AsyncCollection[Document] = database["users"]
        self._once: AsyncCollection[Document] = database["hubbub_once"]

    async def prepare(self) -> None:
        """Make the indexes and collections. Any number of replicas may do it at once."""
        with answering():
            # Made beforehand: transactions that race to make it would fail.
            await self._make_collection("hubbub_once")
            await self._index([("username", 1)], unique=True, sparse=True)
            await self._index([("emails.address", 1)], unique=True, sparse=True)
            await self._index([(TOKENS + ".hashedToken", 1)], unique=True, sparse=True)
            await self._index([(TOKENS + ".when", 1)], sparse=True)
            await self._index([(TOKENS + ".endsAt", 1)], sparse=True)
            await self._index([("usernameShape", 1)], unique=True, sparse=True)
            await self._index([("importIds", 1)], sparse=True)
            await self._index([("roles", 1)])
            await self._index([("defaultRoomsPending", 1)], sparse=True)
            for keys in (SORTABLE["name"], SORTABLE["createdAt"], SORTABLE["status"]):
                await self._index(keys)
            await self._caseless_index("username")
            await self._caseless_index("emails.address")

    async def _make_collection(self, name: str) -> None:
        with suppress(CollectionInvalid):  # seen to be there
            try:
                await self._database.create_collection(name)
            except OperationFailure as error:
                if error.code != _NAMESPACE_EXISTS:  # made by another replica at this moment
                    raise

    async def _index(self, keys: list[tuple[str, int]], **options: Any) -> None:
        try:
            await self._users.create_index(keys, **options)
        except OperationFailure as error:
            if error.code not in _OTHER_INDEX:
                raise
            log.warning("index_differs", keys=keys)

    async def _caseless_index(self, field: str) -> None:
        """Unique without regard to case, unless the data of another server already has twins."""
        name = f"{field}_caseless"
        keys = [(field, 1)]
        try:
            await self._users.create_index(
                keys, name=name, unique=True, sparse=True, collation=CASELESS
            )
        except DuplicateKeyError:
            log.warning("users_differ_only_in_case", field=field)
            await self._users.create_index(
                keys, name=f"{name}_twins", sparse=True, collation=CASELESS
            )

    async def find(self, user_id: str, fields: Iterable[str]) -> Document | None:
        """Some fields of a user."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._users.find_one({"_id": user_id}, dict.fromkeys(fields, 1))

    async def find_all(
        self, user_ids: Collection[str], fields: Iterable[str]
    ) -> dict[str, Document]:
        """Some fields of those of the users that exist."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._users.find(
                {"_id": {"$in": list(user_ids)}}, dict.fromkeys(fields, 1)
            ).to_list()
        return {user["_id"]: user for user in found}

    async def find_named(self, username: str, fields: Iterable[str]) -> Document | None:
        """Some fields of the user with this username."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await find_like(self._users, "username", username, dict.fromkeys(fields, 1))

    async def has_username(self, *usernames: str, besides: str = "") -> bool:
        """Whether somebody else than `besides` has one of these usernames, without regard to
        case."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._users.find_one(
                {"username": {"$in": list(usernames)}, "_id": {"$ne": besides}},
                {"_id": 1},
                collation=CASELESS,
            )
        return found is not None

    async def has_shape(self, shape: str, *, besides: str = "") -> bool:
        """Whether somebody else than `besides` has a username that looks like `shape` and is not
        spelt like it."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = await self._users.find_one(
                {"usernameShape": shape, "_id": {"$ne": besides}}, {"_id": 1}
            )
        return found is not None

    async def find_imported(self, import_id: str, fields: Iterable[str]) -> Document | None:
        """Some fields of the user that an import from elsewhere knew by this id."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await self._users.find_one({"importIds": import_id}, dict.fromkeys(fields, 1))

    async def find_addressed(self, address: str, fields: Iterable[str]) -> Document | None:
        """Some fields of the user with this e-mail address."""
        wanted = dict.fromkeys([*fields, "emails"], 1)
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            return await find_like(self._users, "email", address, wanted)

    async def page(
        self, paging: Paging, fields: Iterable[str], status_not: str | None
    ) -> tuple[list[Document], int]:
        """A page of the users that have a username, and how many there are."""
        match: dict[str, Any] = {"username": {"$exists": True}}
        if status_not is not None:
            match["status"] = {"$ne": status_not}
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            users = (
                await self._users.find(match, dict.fromkeys(fields, 1))
                .sort(_order(paging.sort))
                .skip(paging.offset)
                .limit(paging.count)
                .to_list()
                if paging.count
                else []
            )
            total = await self._users.count_documents(match)
        return users, total

    async def insert(self, user: Document) -> None:
        """Add a user. Raises: Taken."""
        try:
            with answering(), pymongo.timeout(QUERY_TIMEOUT):
                await self._users.insert_one(user)
        except DuplicateKeyError as error:
            raise _taken(error) from None

    async def insert_once(self, user: Document, mark: str) -> bool:
        """Add a user and set `mark`, both or neither. False: the mark was set before.

        Raises: Taken.
        """

        async def both(session: AsyncClientSession) -> bool:
            try:
                await self._once.insert_one({"_id": mark, "userId": user["_id"]}, session=session)
            except DuplicateKeyError:
                await session.abort_transaction()
                return False
            await self._users.insert_one(user, session=session)
            return True

        try:
            with answering():
                async with self._database.client.start_session() as session:
                    return await session.with_transaction(both)
        except DuplicateKeyError as error:
            raise _taken(error) from None

    async def insert_missing(self, user: Document) -> None:
        """Add a user if there is none with its id."""
        fields = {key: value for key, value in user.items() if key != "_id"}
        try:
            with answering(), pymongo.timeout(QUERY_TIMEOUT):
                await self._users.update_one(
                    {"_id": user["_id"]}, {"$setOnInsert": fields}, upsert=True
                )
        except DuplicateKeyError as error:
            if not await self.find(user["_id"], ["_id"]):  # else another replica was faster
                raise _taken(error) from None

    async def update(
        self, user_id: str, change: Mapping[str, Any], *, only_if: Mapping[str, Any] | None = None
    ) -> bool:
        """Apply update operators to a user. False: no such user. Raises: Taken."""
        try:
            with answering(), pymongo.timeout(QUERY_TIMEOUT):
                result = await self._users.update_one({"_id": user_id, **(only_if or {})}, change)
        except DuplicateKeyError as error:
            raise _taken(error) from None
        return result.matched_count == 1

    async def delete(self, user_id: UserId) -> None:
        """Remove a user. Raises: LastAdministrator: no other one is active."""

        async def work(session: AsyncClientSession) -> None:
            await self._users.delete_one({"_id": user_id}, session=session)

        await self._keeping_an_administrator(work)

    async def update_keeping_an_administrator(
        self, user_id: UserId, change: Mapping[str, Any]
    ) -> bool:
        """`update` for changes that may take an administrator away.

        Raises: Taken; LastAdministrator: no other one is active.
        """

        async def work(session: AsyncClientSession) -> bool:
            result = await self._users.update_one({"_id": user_id}, change, session=session)
            return result.matched_count == 1

        try:
            return await self._keeping_an_administrator(work)
        except DuplicateKeyError as error:
            raise _taken(error) from None

    async def _keeping_an_administrator(
        self, work: Callable[[AsyncClientSession], Awaitable[T]]
    ) -> T:
        async def guarded(session: AsyncClientSession) -> T:
            # Two who take the last two administrators at once meet here.
            await self._once.update_one(
                {"_id": _GUARD}, {"$inc": {"changes": 1}}, upsert=True, session=session
            )
            done = await work(session)
            left = await self._users.find_one(
                {"roles": "admin", "active": True}, {"_id": 1}, session=session
            )
            if left is None:
                raise LastAdministrator
            return done

        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            async with self._database.client.start_session() as session:
                return await session.with_transaction(guarded)

    async def administrators(self, limit: int) -> list[str]:
        """Ids of at most `limit` active administrators."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = self._users.find({"roles": "admin", "active": True}, {"_id": 1}).limit(limit)
            return [user["_id"] async for user in found]

    async def default_rooms_joined(self, user_id: UserId) -> None:
        """The user has joined the default rooms."""
        await self.update(user_id, {"$unset": {"defaultRoomsPending": 1}})

    async def pending_default_rooms(self, limit: int) -> list[UserId]:
        """Users that still have to join the default rooms."""
        with answering(), pymongo.timeout(QUERY_TIMEOUT):
            found = self._users.find({"defaultRoomsPending": True}, {"_id": 1}).limit(limit)
            return [UserId(user["_id"]) async for user in found]


def _order(sort: Mapping[str, int] | None) -> list[tuple[str, int]]:
    for key, direction in (sort or {}).items():
        if key in SORTABLE and direction in (1, -1):
            return [(field, direction) for field, _ in SORTABLE[key]]
    return SORTABLE["username"]


def _taken(error: DuplicateKeyError) -> Taken:
    keys = list((error.details or {}).get("keyPattern", {}))
    return Taken(_FIELDS.get(keys[0], keys[0]) if keys else "_id")


_FIELDS = {"emails.address": "email", "usernameShape": "username"}
