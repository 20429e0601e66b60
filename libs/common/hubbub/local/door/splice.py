"""Two sockets joined: what one sends, the other gets, no faster than it takes it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

HALF_OPEN = 30.0  # seconds a connection may stay open in one direction only


class Side(asyncio.Protocol):
    """One end of a splice. What it receives is written to `peer`."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: Side | None = None
        self.on_lost: Callable[[], None] | None = None
        self.ended = False

    def attach(self, transport: asyncio.Transport) -> None:
        """Take over a transport that another protocol had until now."""
        self.transport = transport
        transport.set_protocol(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        """Pass the end of this direction on; the other may go on for a while."""
        self.ended = True
        peer = self.peer
        if peer is None or peer.transport is None or peer.ended or peer.transport.is_closing():
            return False
        if not peer.transport.can_write_eof():
            return False
        peer.transport.write_eof()
        asyncio.get_running_loop().call_later(HALF_OPEN, self.close)
        return True

    def pause_writing(self) -> None:
        """Our socket takes no more for now: stop reading what the peer would give it."""
        if self.peer is not None:
            self.peer.read(on=False)

    def resume_writing(self) -> None:
        if self.peer is not None:
            self.peer.read(on=True)

    def read(self, *, on: bool) -> None:
        """Read from our socket, or let its data wait there."""
        if self.transport is None or self.transport.is_closing():
            return
        if on:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        if self.peer is not None:
            self.peer.close()
        if self.on_lost is not None:
            self.on_lost()

    def close(self) -> None:
        """Close after what is still waiting has been sent."""
        if self.transport is not None:
            self.transport.close()


class BackendSide(Side):
    """The side towards a backend, which also tells when the first answer came, or never will."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        if self.answered.done():
            super().data_received(data)
            return
        # Nothing more until somebody has taken this first piece on.
        self.read(on=False)
        self.answered.set_result(data)

    def eof_received(self) -> bool:
        if not self.answered.done():
            return False  # closes, and so ends up in connection_lost
        return super().eof_received()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_exception(ConnectionResetError("closed without an answer"))
            self.answered.exception()  # whoever waited may be gone
        super().connection_lost(error)
