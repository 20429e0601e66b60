"""One client's WebSocket: bytes in, DDP messages out, and a bounded way back.

INTERFACE (being filled): signatures are final.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Protocol

from hubbub.ddp.messages import Inbound
from services.ddp_streamer.frames import SharedFrame


@dataclass(frozen=True, slots=True)
class Peer:
    """What the handshake told about the other side."""

    address: str | None
    """Client address behind the trusted proxies; None when it cannot be known."""
    user_agent: str
    sockjs: bool


class ConnectionListener(Protocol):
    """What a connection tells its session. Called on the event loop, must not block."""

    def on_message(self, message: Inbound) -> None:
        """A message that needs the session, in arrival order.

        Only these come: `Connect` (exactly once, first, with a version that is spoken here; answer
        it with `connected`), then `Method`, `Sub`, `Unsub`, `Refused`. Everything else (server_id,
        ping, pong, failed, bad requests, second connect, protocol violations) is answered by
        the connection itself. After `on_closed`, or after `Connection.close`, nothing comes.
        """
        ...

    def on_closed(self, code: int, reason: str) -> None:
        """The socket is gone; called exactly once. `code` 1006: cut without a close frame."""
        ...


class Connection(asyncio.Protocol):
    """One open WebSocket. Made by the public listener, handed to `open_session`."""

    connection_id: str  # public random id (20 characters), may be logged; not the DDP session id
    peer: Peer
    connected: bool  # a DDP `connect` was accepted
    authenticated: bool  # set by the session after login / logout
    login_pending: bool  # set by the session while a login or logout is unanswered: neither the
    #                      connection limit nor the login deadline closes the socket meanwhile
    closed: bool  # True from the moment close() was called or the socket went away

    @property
    def backlog(self) -> int:
        """Bytes waiting to be written (queued here and in the transport)."""
        raise NotImplementedError

    def send(self, message: bytes) -> None:
        """Queue one DDP message (JSON bytes) for this client only. Never waits, never raises.

        After the connection closed it does nothing. Everything queued within one turn of the
        loop leaves in one write. Over the hard limit the connection is closed with 1013.
        """
        raise NotImplementedError

    def send_shared(self, frame: SharedFrame) -> bool:
        """Queue a frame shared with others; False when it was not queued (closed, or dropped)."""
        raise NotImplementedError

    def close(self, code: int, reason: str = "") -> None:
        """Send what is queued, then a close frame (`c[...]` before it on SockJS). Idempotent.

        `on_closed(code, reason)` follows when the socket is really gone: when the client answered,
        or after `close_timeout` seconds at the latest.
        """
        raise NotImplementedError


class OpenSession(Protocol):
    """Makes the session of a new connection; called right after the 101 answer was written."""

    def __call__(self, connection: Connection) -> ConnectionListener: ...
