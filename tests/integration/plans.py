"""Every query of every store, as the integration tests make them, explained by the database.

A listener hears each command of this process and finds the store's method on the stack. When a
test ends, each kind of command that was not seen before is explained on the database of that
test: a query that would read a whole collection that grows fails the test that made it. So the
tour through the stores is the integration tests themselves, and whoever adds a query with a test
adds it to the tour. `test_query_plans.py`, which runs last, knows the methods that none reached.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pymongo import monitoring
from pymongo.errors import OperationFailure

from hubbub.mongo import Database

SERVICES: Final = Path(__file__).parents[2] / "services"

BOUNDED: Final = {
    "rocketchat_settings": "as many as the code knows",
    "rocketchat_roles": "made by administrators, one by one",
    "rocketchat_permissions": "as many as the code knows",
    "rocketchat_custom_emoji": "made by administrators, one by one; clients ask for all of them",
    "rocketchat_custom_user_status": "made by administrators, one by one",
    "rocketchat_integrations": "made by administrators, one by one, up to a limit",
    "hubbub_leases": "one per kind of leader",
}
"""Collections that may be read whole, and why they stay small. All others grow."""

_SEARCHING = frozenset("find aggregate count findAndModify update delete distinct".split())
_OF_THE_SESSION = frozenset(
    "lsid txnNumber startTransaction autocommit writeConcern readConcern maxTimeMS"
    " bypassDocumentValidation ordered".split()
)


@dataclass(frozen=True)
class Made:
    """One command and who made it."""

    database: str
    command: Mapping[str, Any]
    method: str
    """Of a store: `services.account.store.users:MongoUserStore.find`, or empty."""


@dataclass
class Recorder(monitoring.CommandListener):
    """Hears all commands of this process; explains those on databases of tests."""

    reached: set[str] = field(default_factory=set)
    """Methods of stores that made a command, with all that called them."""
    waiting: dict[str, dict[str, Made]] = field(default_factory=lambda: defaultdict(dict))
    """By database and kind: what was made there and is not explained yet."""
    explained: set[str] = field(default_factory=set)
    """Kinds of command."""
    stages: set[str] = field(default_factory=set)
    counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """By database: commands by collection and name, as `update users`."""

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        methods = list(_store_methods())
        self.reached.update(methods)
        if not event.database_name.startswith("test_"):
            return
        target = event.command.get(event.command_name)
        self.counts[event.database_name][f"{event.command_name} {target}"] += 1
        if event.command_name not in _SEARCHING:
            return
        for command in _single(_bare(event.command)):
            made = Made(event.database_name, command, methods[0] if methods else "")
            kind = _kind(made)
            if kind not in self.explained:
                self.waiting[event.database_name].setdefault(kind, made)

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass

    async def explain(self, database: Database) -> list[str]:
        """What was made on `database` and reads a whole collection that grows; told once."""
        found = []
        for kind, made in self.waiting.pop(database.name, {}).items():
            self.explained.add(kind)
            collection = next(iter(made.command.values()))
            if not made.method or collection in BOUNDED:
                continue
            try:
                plan = await database.command(
                    {"explain": made.command, "verbosity": "queryPlanner"}
                )
            except OperationFailure as error:
                found.append(f"{made.method}: cannot be explained: {error.details}")
                continue
            stages = set(_stages(plan))
            self.stages |= stages
            if "COLLSCAN" in stages:
                found.append(f"{made.method} reads all of {collection}: {made.command}")
        return found


RECORDER: Final = Recorder()


def listen() -> None:
    """From now on hear all clients that are made."""
    monitoring.register(RECORDER)


def _store_methods() -> Iterator[str]:
    """Methods of stores on the stack, the innermost first."""
    frame = sys._getframe(2)
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("services.") and ".store" in name:
            yield f"{name}:{frame.f_code.co_qualname}"
        if frame.f_back is None:
            return
        frame = frame.f_back


def _bare(command: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: value
        for key, value in command.items()
        if key not in _OF_THE_SESSION and not key.startswith("$")
    }


def _single(command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Commands that `explain` takes: one update or deletion each."""
    for many in ("updates", "deletes"):
        if many in command:
            for one in command[many]:
                yield {**command, many: [one]}
            return
    yield command


def _kind(made: Made) -> str:
    """The same for commands that differ only in their values."""
    return f"{made.method} {_shape(made.command)}"


def _shape(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _shape(item) for key, item in value.items()}
    if isinstance(value, list):
        shapes = [_shape(item) for item in value]
        return [shape for i, shape in enumerate(shapes) if shape not in shapes[:i]]
    return type(value).__name__


def _stages(plan: Any) -> Iterator[str]:
    if isinstance(plan, Mapping):
        for key, value in plan.items():
            if key == "stage":
                yield value
            if key != "rejectedPlans":
                yield from _stages(value)
    elif isinstance(plan, list):
        for value in plan:
            yield from _stages(value)
