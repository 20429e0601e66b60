"""What a copy of the database says of itself. Pure."""

from __future__ import annotations

from typing import Any, Final, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict

FORMAT: Final = 1
"""Raised when a file can no longer be read as before."""

LEFT_OUT: Final = frozenset(
    {
        # Who leads, and how far the log of changes is: of another history after a restore. A hub
        # that finds neither begins a new log, and all clients load anew.
        "hubbub_leases",
        # The connections of users: none of them will be there.
        "usersSessions",
        # What the collections left out have lost with their indexes has to be made again, so a
        # database that came out of a copy is not ready for any version.
        "hubbub_schema",
        # Counted per address; over within minutes, and nobody's business in a file.
        "hubbub_rest_rates",
        "hubbub_login_failures",
    }
)
"""Collections that no copy has, and that no restore brings back."""


class BackupFailed(Exception):
    """It did not work. The text is one line: what is wrong, and what to do."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ClusterTime(_Frozen):
    """A moment in the life of a replica set."""

    seconds: int
    """Since 1970, by the database's clock."""
    number: int
    """Of the operation within the second."""


class Shape(_Frozen):
    """A collection without its documents. BSON values stand as canonical Extended JSON."""

    name: str
    kind: Literal["collection", "view"] = "collection"
    options: dict[str, Any] = {}
    """As `create` takes them: the validator is one of them."""
    indexes: list[dict[str, Any]] = []
    """As `createIndexes` takes them, that of `_id` too; ordered by name."""


class Copied(Shape):
    """A collection with what is known of its documents."""

    count: int
    size: int
    """Bytes of BSON."""
    sha256: str
    """Of the documents, one behind the other."""

    @property
    def file(self) -> str:
        """Where its documents are within the archive."""
        return f"collections/{quote(self.name, safe='')}.bson"

    @property
    def shape(self) -> Shape:
        """It without its documents."""
        return Shape(name=self.name, kind=self.kind, options=self.options, indexes=self.indexes)


class Manifest(_Frozen):
    """The table of contents of one copy."""

    format: int
    hubbub: str
    """Version that wrote it."""
    mongodb: str
    """Version of the server that was read."""
    database: str
    made: str
    """When the copy was begun, ISO 8601."""
    cluster_time: ClusterTime
    """The one moment that all documents are of."""
    left_out: list[str]
    collections: list[Copied]

    @property
    def count(self) -> int:
        """Documents in it."""
        return sum(one.count for one in self.collections)

    @property
    def size(self) -> int:
        """Bytes of BSON in it."""
        return sum(one.size for one in self.collections)
