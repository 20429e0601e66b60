"""What the calling side needs from whatever carries requests: NATS, or the same process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from hubbub.bus.context import CallContext

Body = bytes | Mapping[str, Any]
"""Arguments as JSON, or as they are inside one process."""


class Wire(Protocol):
    """Carries requests. Their answers arrive in the `ReplyTable`, by token."""

    @property
    def connected(self) -> bool:
        """Whether a request would leave now."""
        ...

    async def wait_connected(self, seconds: float) -> bool:
        """Wait until `connected`; False when it did not come true in time."""
        ...

    @property
    def encodes(self) -> bool:
        """Whether arguments travel as JSON. Otherwise they are only checked."""
        ...

    def request(
        self,
        subject: bytes,
        token: bytes,
        body: Body,
        patience_ms: int,
        attempt: int,
        context: CallContext,
    ) -> None:
        """Send a request.

        Args:
            patience_ms: how long its answer is waited for, from now on.

        Raises:
            TooLarge: it is over what the carrier takes; nothing was sent.
            Unavailable: too much is waiting to be sent; nothing was sent.
        """
        ...
