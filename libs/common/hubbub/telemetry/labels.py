"""Values of metric labels, and how many of them one process may show.

Every combination of values is a series that Prometheus keeps for months. A process has at most
`BUDGET` of them, whatever its clients do: values come from closed sets in the code, and where
such a set is large, an `Allotment` bounds how much of it is shown.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Final

BUDGET: Final = 2_000
"""Series of one process at most."""
OTHER: Final = "other"
"""Stands for every value that is not shown by its own name."""


class Allotment:
    """Who of many gets series of its own: the first `places` that come, for good.

    Whoever comes later shares one that is called `other`. A decision is never changed, because
    a counter must not lose what it has counted.
    """

    __slots__ = ("_places", "_taken")

    def __init__(self, places: int) -> None:
        self._places = places
        self._taken: set[Hashable] = set()

    def has(self, key: Hashable) -> bool:
        """Whether `key` has series of its own; gives it a place while there are some."""
        if key in self._taken:
            return True
        if len(self._taken) >= self._places:
            return False
        self._taken.add(key)
        return True
