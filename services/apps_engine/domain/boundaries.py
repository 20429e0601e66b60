"""What actually holds around an app, given which means of confinement are active."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from services.apps_engine.confinement.report import Confinement, Means


class Boundary(StrEnum):
    """Something that an app cannot do."""

    NETWORK = "network"  # reach any address but through the engine
    FILES = "files"  # read or write what is not its own
    PROCESSES = "processes"  # start, signal or trace other processes
    MEMORY = "memory"  # take more memory than its limit
    DISK = "disk"  # write more than its scratch folder may hold, even for a moment
    PRIVILEGES = "privileges"  # become somebody else, or more than it is
    ORPHANS = "orphans"  # outlive the engine


_ALTERNATIVES: dict[Boundary, tuple[tuple[Means, ...], ...]] = {
    # In an own network namespace, abstract sockets are one's own too. A socket that is a file is
    # reached through any namespace, and Landlock lets it pass: it has to be out of sight, or no
    # socket may be opened at all.
    Boundary.NETWORK: ((Means.NETWORK, Means.VIEW), (Means.SECCOMP,)),
    # Landlock lets modes, owners and attributes be changed; the filter does not.
    Boundary.FILES: ((Means.VIEW,), (Means.LANDLOCK, Means.SECCOMP)),
    Boundary.PROCESSES: ((Means.SECCOMP,), (Means.PROCESSES, Means.THREADS)),
    # A second process would have a second limit, and System V memory has none.
    Boundary.MEMORY: ((Means.LIMITS, Means.SECCOMP),),
    Boundary.DISK: ((Means.VIEW,),),
    Boundary.PRIVILEGES: ((Means.NO_NEW_PRIVILEGES, Means.CAPABILITIES),),
    Boundary.ORPHANS: ((Means.DIES_WITH_ENGINE,),),
}
"""Each way to have a boundary; all means of one way must be active."""


def active(confinement: Confinement) -> frozenset[Boundary]:
    """The boundaries that hold."""
    return frozenset(
        boundary
        for boundary, ways in _ALTERNATIVES.items()
        if any(confinement.has(*way) for way in ways)
    )


def missing(confinement: Confinement, required: Iterable[Boundary]) -> list[Boundary]:
    """Those of `required` that do not hold, sorted."""
    return sorted(set(required) - active(confinement))
