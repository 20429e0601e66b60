"""Every query of the apps engine, by what is kept."""

from __future__ import annotations

from hubbub.mongo import Database
from services.apps_engine.store.apps import MongoAppStore
from services.apps_engine.store.calls import MongoCallStore
from services.apps_engine.store.data import MongoDataStore
from services.apps_engine.store.integrations import MongoIntegrationStore
from services.apps_engine.store.jobs import MongoJobStore
from services.apps_engine.store.logs import MongoLogStore
from services.apps_engine.store.packages import MongoPackageStore


class AppsStore:
    """The stores on MongoDB. Every method of theirs raises `Unavailable` when it is away."""

    def __init__(self, database: Database) -> None:
        self.apps = MongoAppStore(database)
        self.packages = MongoPackageStore(database)
        self.data = MongoDataStore(database)
        self.jobs = MongoJobStore(database)
        self.logs = MongoLogStore(database)
        self.integrations = MongoIntegrationStore(database)
        self.calls = MongoCallStore(database)

    async def prepare(self) -> None:
        """Make the indexes. Any number of replicas may do it at once."""
        await self.packages.prepare()
        await self.data.prepare()
        await self.jobs.prepare()
        await self.logs.prepare()
        await self.integrations.prepare()
        await self.calls.prepare()
