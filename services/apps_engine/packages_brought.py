"""Packages on their way here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from hubbub.contracts.apps import LONGEST_PACKAGE, Chunk, InvalidPackage, PackageTooLarge
from hubbub.errors import NotFound
from hubbub.ids import UserId, random_id
from services.apps_engine.store.packages import MongoPackageStore

_PARTS = 128  # of one package


class Packages:
    """Takes packages in parts, since no message of the bus carries one whole."""

    def __init__(
        self, store: MongoPackageStore, now: Callable[[], datetime], *, keep: float
    ) -> None:
        self._store = store
        self._now = now
        self._keep = timedelta(seconds=keep)

    async def begin(self, user_id: UserId) -> str:
        """See `AppActions.begin_package`."""
        package_id = random_id()
        await self._store.begin(package_id, user_id, self._now() + self._keep)
        return package_id

    async def add(self, user_id: UserId, package_id: str, chunk: Chunk) -> None:
        """See `AppActions.add_to_package`."""
        expires = await self._store.expiry(package_id, user_id)
        if expires is None:
            raise _unknown()
        sizes = await self._store.sizes(package_id) | {chunk.index: len(chunk.data)}
        if sum(sizes.values()) > LONGEST_PACKAGE or len(sizes) > _PARTS:
            raise PackageTooLarge(f"A package has {LONGEST_PACKAGE} bytes at most")
        await self._store.add(package_id, chunk.index, chunk.data, expires)

    async def whole(self, user_id: UserId, package_id: str) -> bytes:
        """A package that is here. Raises: NotFound; InvalidPackage: a part is missing."""
        if await self._store.expiry(package_id, user_id) is None:
            raise _unknown()
        data = await self._store.read(package_id)
        if data is None:
            raise InvalidPackage("Parts of the package are missing")
        return data


def _unknown() -> NotFound:
    return NotFound("No such package", code="error-app-package-not-found")
