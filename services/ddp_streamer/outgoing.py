"""The way out of one connection: what is queued for its client, and its last words."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from hubbub.ddp import sockjs, websocket
from hubbub.ids import random_id
from services.ddp_streamer.common import Cause, Common, Peer
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.outbox import Outbox
from services.ddp_streamer.room_frames import shows_room
from services.ddp_streamer.wheel import NEVER

CUT: Final = 1006
"""Stands for a connection that ended without a close frame (RFC 6455 7.1.5); never sent."""
HEARTBEAT_TIMEOUT: Final = 4408

_CAUSES: Final[dict[int, Cause]] = {
    1000: "client",
    1001: "drain",
    1002: "protocol",
    1007: "protocol",
    1008: "auth",
    1009: "protocol",
    1012: "drain",
    1013: "rebalance",
    HEARTBEAT_TIMEOUT: "ping_timeout",
}
_KINDS = {
    b"resu": "result",
    b"read": "ready",
    b"nosu": "nosub",
    b"chan": "changed",
    b"ping": "ping",
    b"pong": "pong",
}


class State(IntEnum):
    """How far a connection's life has come."""

    OPEN = 0
    CLOSING = 1  # a close frame was sent; waiting for the client's, or for the socket to end
    CLOSED = 2


class Outgoing(asyncio.Protocol):
    """The half of a connection that writes. Whoever reads is built on it."""

    __slots__ = (
        "_cause",
        "_code",
        "_common",
        "_cut_at",
        "_is_plain",
        "_is_sockjs",
        "_open_outbox",
        "_outbox",
        "_positioned",
        "_reason",
        "_state",
        "_tally",
        "_transport",
        "_written_until",
        "connection_id",
        "peer",
        "wake_at",
    )

    def __init__(self, common: Common, peer: Peer) -> None:
        self._common = common
        self.peer = peer
        self.connection_id = random_id(20)
        """Public name of this connection; may be logged. Not the id of the DDP session."""
        self.wake_at = NEVER
        self._state = State.OPEN
        self._code, self._reason = CUT, ""
        self._cause: Cause = "client"
        self._transport: asyncio.Transport | None = None
        self._outbox: Outbox | None = None
        self._open_outbox: Outbox | None = None  # the same while messages may be sent
        self._tally = common.tally
        self._is_sockjs = peer.sockjs
        self._is_plain = not peer.sockjs  # takes shared frames as they are
        self._positioned = False
        self._written_until = NEVER  # frames queued later were forgotten
        self._cut_at = NEVER  # when a closing handshake has taken too long

    def wake(self, now: float) -> float:
        """Do what time demands; return when to be woken again. Called by the timer wheel."""
        raise NotImplementedError

    @property
    def closed(self) -> bool:
        """True from the moment `close` was called or the socket went away."""
        return self._state is not State.OPEN

    @property
    def positioned(self) -> bool:
        """Whether shared frames go out with their place in the log. Set by the session when the
        client has asked for it."""
        return self._positioned

    @positioned.setter
    def positioned(self, value: bool) -> None:
        self._positioned = value
        self._is_plain = not (value or self._is_sockjs)

    @property
    def backlog(self) -> int:
        """Bytes waiting to be written, here and in the transport."""
        return 0 if self._outbox is None else self._outbox.backlog

    def send(self, message: bytes) -> None:
        """Queue one DDP message (its JSON text) for this client only. Never waits or raises.

        Does nothing after the connection has closed. Everything that is queued in one turn of
        the loop leaves in one write. Over the hard limit the connection is closed with 1013.
        """
        if self._state is State.OPEN:
            kind = _KINDS.get(message[8:12], "other")
            self._tally.messages_out[kind] += 1
            payload = sockjs.wrap(message) if self._is_sockjs else message
            self._queue(websocket.text_frame(payload), kind)

    def send_shared(self, frame: SharedFrame) -> bool:
        """Queue a frame that others get too; False when it was not queued."""
        outbox = self._open_outbox
        if outbox is None:
            return False
        if self._is_plain:
            data = frame.raw
        else:
            form = frame.placed if self._positioned else frame
            data = form.sockjs if self._is_sockjs else form.raw
        tally = self._tally
        if frame.droppable:
            if outbox.put_droppable(data, frame.key):
                tally.shared += 1
                return True
            return False
        if outbox.put(data):
            tally.shared += 1
            return True
        self._too_slow(refused=1)
        return False

    def when_written(self, function: Callable[[], None]) -> None:
        """Call `function` when what is queued now is on its way, if that is ever so."""
        if self._outbox is not None:
            self._common.flusher.when_written(self._outbox, function)

    def drop_room(self, room_id: str) -> None:
        """Forget what is queued about a room that the user has lost."""
        if self._outbox is not None:
            lost = self._outbox.discard(lambda frame: shows_room(frame, room_id))
            if lost:
                self._tally.filtered["not_member"] += lost

    def close(self, code: int, reason: str = "", *, cause: Cause | None = None) -> None:
        """Send what is queued, then a close frame (on SockJS a `c[...]` before it). Idempotent.

        `on_closed(code, reason)` follows when the socket is really gone: when the client has
        answered, or after `close_timeout` seconds at the latest. `cause` is the label it is
        counted under; by default it follows from the code.
        """
        if self._state is not State.OPEN or self._outbox is None:
            return
        if self._is_sockjs:
            self._put_last(websocket.text_frame(sockjs.close(code, reason)))
        self._put_last(websocket.close_frame(code, reason))
        self._begin_closing(code, reason, cause or _CAUSES.get(code, "kicked"))

    def abort(self) -> None:
        """Cut the socket without a handshake."""
        if self._transport is not None:
            self._transport.abort()

    # --- called by the transport ------------------------------------------------------------

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        if self._outbox is not None:
            now = self._common.loop.time()
            self._outbox.pause(now)
            self._common.wheel.schedule(self, now + self._common.settings.stall_timeout / 4)

    def resume_writing(self) -> None:
        """All that was written is in the kernel."""
        if self._outbox is not None:
            self._outbox.resume()

    # --- for those who read -----------------------------------------------------------------

    def _open_way_out(self, transport: asyncio.Transport) -> None:
        """Write to this transport from now on."""
        settings = self._common.settings
        self._transport = transport
        self._outbox = Outbox(
            transport,
            self._common.flusher,
            soft=settings.soft_buffered_bytes,
            hard=settings.max_buffered_bytes,
            now=self._common.loop.time(),
        )
        self._open_outbox = self._outbox
        transport.set_write_buffer_limits(high=0)

    def _flush(self) -> bool:
        """Hand over what is queued at once; whether the kernel has taken all of it."""
        if self._outbox is None:
            return True
        self._common.flusher.written += self._outbox.flush(self._common.loop.time())
        return not self._outbox.congested

    @property
    def _written(self) -> float:
        """What was queued up to this moment has left the process."""
        written, outbox = self._written_until, self._outbox
        if outbox is not None and not outbox.empty:
            written = min(written, outbox.flushed_at)
        return written

    def _queue(self, frame: bytes, kind: str = "other") -> None:
        if self._outbox is None:
            return
        if self._outbox.put(frame):
            self._tally.bytes_out_by_type[kind] += len(frame)
        else:
            self._too_slow(refused=1)

    def _put_last(self, frame: bytes) -> None:
        if self._outbox is not None:
            self._outbox.put_last(frame)
            self._tally.bytes_out_by_type["other"] += len(frame)

    def _too_slow(self, *, refused: int = 0) -> None:
        if self._outbox is not None:
            self._written_until = self._written
            self._tally.dropped["slow_client"] += self._outbox.drop() + refused
        self.close(1013, "SLOW_CONSUMER", cause="slow")

    def _begin_closing(self, code: int, reason: str, cause: Cause) -> None:
        self._state = State.CLOSING
        self._open_outbox = None
        self._code, self._reason, self._cause = code, reason, cause
        self._cut_at = self._common.loop.time() + self._common.settings.close_timeout
        self._common.wheel.schedule(self, self._cut_at)
