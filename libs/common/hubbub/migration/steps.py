"""The services' own migrations, found without knowing the services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib import import_module, metadata, util
from typing import Final, TypeAlias

from hubbub.mongo import Database

Expand: TypeAlias = Callable[[Database], Awaitable[None]]
"""Makes what one service lacks in a database. Additive, idempotent, and safe beside itself."""

_GROUP: Final = "hubbub.services"


def steps() -> Mapping[str, Expand]:
    """Service → its function: `expand` in the module `migration` beside its entry point."""
    found: dict[str, Expand] = {}
    for entry in sorted(metadata.entry_points(group=_GROUP), key=lambda entry: entry.name):
        module = f"{entry.module.rpartition('.')[0]}.migration"
        if util.find_spec(module) is not None:
            found[entry.name] = import_module(module).expand
    return found
