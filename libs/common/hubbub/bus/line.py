"""What code on raw subjects needs of the connection to NATS, so that a test can be the server."""

from __future__ import annotations

from typing import Protocol

from nats.aio.msg import Msg

from hubbub.bus.parser import Door


class Opened(Protocol):
    """A subscription."""

    async def unsubscribe(self) -> None:
        """Get nothing more. Raises: nats.errors.Error: the client is closed."""
        ...

    async def next_msg(self, timeout: float | None = 1.0) -> Msg:
        """The next message, of a subscription without a door. Raises: TimeoutError."""
        ...


class Line(Protocol):
    """The part of `hubbub.bus.connection.Connection` on which events travel.

    Its methods raise nats.errors.Error, and of those that wait TimeoutError.
    """

    @property
    def max_payload(self) -> int:
        """Bytes that one message may have, headers included."""
        ...

    @property
    def is_closed(self) -> bool:
        """Whether it will never be used again."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether it stands at this moment, as far as is known."""
        ...

    def new_inbox(self) -> str:
        """A subject that nobody else uses."""
        ...

    async def open_door(self, subject: str, door: Door) -> Opened:
        """Call `door` for each message of `subject`, in order, without waiting."""
        ...

    async def subscribe(self, subject: str) -> Opened:
        """Collect the messages of `subject`."""
        ...

    def send(self, subject: bytes, reply: bytes, headers: bytes | None, payload: bytes) -> None:
        """Publish, without waiting. Raises: Unavailable: as much is waiting as may wait."""
        ...

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Publish to whoever listens."""
        ...

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        *,
        headers: dict[str, str] | None = None,
    ) -> Msg:
        """Publish and wait for one answer."""
        ...

    async def flush(self, timeout: int = 10) -> None:
        """Wait until the server has seen what was sent."""
        ...
