"""All connections of this process. INTERFACE (being filled): signatures are final."""

from __future__ import annotations

from collections.abc import Iterator

from services.ddp_streamer.connection import Connection


class ConnectionRegistry:
    """The open connections, and how many come from each address."""

    def __len__(self) -> int:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Connection]:
        """A snapshot of the open connections: closing while iterating is fine."""
        raise NotImplementedError
