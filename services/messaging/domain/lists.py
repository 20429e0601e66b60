"""Limits and orders of lists."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Final

from hubbub.contracts.documents import Paging

LOOK_BACK: Final = timedelta(seconds=10)
"""How much further than asked catch-up reads look: a change may carry a slightly older date
than the moment at which it became visible. Clients store by `_id`, so repeats are harmless."""

MAX_HISTORY: Final = 100  # messages per page of a room's history
MAX_SYNCHRONIZED: Final = 5000  # messages of one synchronization
MAX_LIST: Final = 5000  # entries where a client asks for everything
MAX_OFFSET: Final = 1_000_000

Order = list[tuple[str, int]]


def order(paging: Paging, allowed: Collection[str], default: Mapping[str, int]) -> Order:
    """The order to sort in: allowed keys only, ties broken by `_id`."""
    wanted = {
        key: 1 if direction > 0 else -1
        for key, direction in (paging.sort or {}).items()
        if key in allowed and direction
    }
    keys = list((wanted or default).items())
    if not any(key == "_id" for key, _ in keys):
        keys.append(("_id", keys[-1][1]))
    return keys


def limit(paging: Paging) -> int:
    """Entries of one page; 0 asks for everything, within reason."""
    return paging.count or MAX_LIST


def offset(paging: Paging) -> int:
    """Entries to skip."""
    return min(paging.offset, MAX_OFFSET)


def history_count(count: int) -> int:
    """Messages of one page of a history."""
    return max(1, min(count, MAX_HISTORY))
