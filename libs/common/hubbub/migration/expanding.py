"""All services' migrations, one after the other, and the number that says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pymongo.errors import DuplicateKeyError

from hubbub.migration import twins
from hubbub.migration.lease import NotAlone, alone
from hubbub.migration.steps import Expand, steps
from hubbub.migration.version import Version, read, record
from hubbub.mongo import Database
from hubbub.tasks import heed_cancellation


class MigrationFailed(Exception):
    """The database is not what this version needs. The text says what to do."""


async def expand(
    database: Database,
    *,
    holder: str,
    by: str,
    within: float,
    tell: Callable[[str], None],
    services: Mapping[str, Expand] | None = None,
) -> Version:
    """Make what is missing for this version; what is there stays. Repeating it is cheap.

    Where twins are in the way of a unique index of one service, the others' are made all the
    same, and the number is not written.

    Args:
        holder: names this process to others that want to migrate meanwhile.
        by: version of Hubbub, for the record.
        within: seconds to wait for such another process.
        tell: is told of each service.
        services: instead of all that are installed.

    Raises:
        MigrationFailed: there are twins, somebody else migrates for too long, or the database is
            of a version too far ahead.
        Unreachable, Unavailable: the database went away. What was made stays.
    """

    async def work() -> Version:
        found = await read(database)
        if found.is_beyond:
            raise MigrationFailed(found.beyond())
        reports = []
        for name, make in (steps() if services is None else services).items():
            heed_cancellation()
            tell(name)
            try:
                await make(database)
            except DuplicateKeyError as error:
                reports.append(await twins.report(database, error))
        if reports:
            raise MigrationFailed("\n".join(reports))
        return await record(database, by)

    try:
        return await alone(database, holder, work, within=within, tell=tell)
    except NotAlone as error:
        raise MigrationFailed(str(error)) from None
