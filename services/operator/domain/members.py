"""What is known of a pod of a pool, and of the streamer in it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that nobody has deleted yet."""

    name: str
    uid: str
    created: datetime
    ip: str = ""
    ops_port: int = 8081
    scheduled: bool = True
    running: bool = True
    """The streamer's container runs at this moment."""
    ready: bool = True
    restarts: int = 0
    """How often the streamer's container was started again."""
    cost: int | None = None
    """What its deletion-cost annotation says; None when there is none."""
    cost_set_at: datetime | None = None
    """When the operator last wrote the annotation; None when it never did."""
    cost_owners: frozenset[str] = frozenset()
    """Others than the operator who manage the annotation."""


@dataclass(frozen=True, slots=True)
class Load:
    """What a streamer says of itself."""

    connections: int
    limit: int
    draining: bool = False
    instance: str | None = None
    """The process, for commands; None when only its operations port answered."""


@dataclass(frozen=True, slots=True)
class Member:
    """A pod of a pool, and its streamer's load if anybody knows it."""

    pod: Pod
    load: Load | None = None

    @property
    def serves(self) -> bool:
        """Whether it takes its share of new connections, and how many it has is known."""
        return self.pod.ready and self.load is not None and not self.load.draining

    @property
    def connections(self) -> int:
        """Open connections; 0 when nobody knows."""
        return self.load.connections if self.load is not None else 0
