"""Judges statuses.

presence: when everything is quiet, who has a socket is online, and who has none is offline. The
status is the one in the database; a socket counts from `open` until `close`.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.chaos.checker.database import Database
from tests.chaos.checker.timeline import Timeline
from tests.chaos.checker.verdict import Invariant, Violation


def present(timeline: Timeline, database: Database) -> Iterator[Violation]:
    """Violations of presence."""
    for user, status in database.statuses.items():
        sockets = timeline.sockets.get(user, {})
        if status != ("online" if sockets else "offline"):
            what = f"{user} is {status} with {len(sockets)} open sockets"
            yield Violation(Invariant.PRESENCE, what, tuple(sockets.values()))
