"""One client's WebSocket: bytes in, DDP messages out, and a bounded way back.

After the HTTP handshake the transport belongs to a `Connection`, a plain protocol object: no
task, no queue and no timer of its own, so that an idle client costs little more than its socket.
It answers by itself what needs no session: server_id, pings, the DDP greeting's failures, bad
requests, violations of the protocol, silence, floods.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from enum import IntEnum
from typing import Final

from hubbub.ddp import messages, sockjs, websocket
from hubbub.ddp.messages import Connect, Inbound, Malformed, Ping, Pong, ProtocolViolation
from hubbub.ids import random_id
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.sparing import Sparing
from services.ddp_streamer.common import (
    Cause,
    Common,
    ConnectionListener,
    OpenSession,
    Peer,
)
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.outbox import Outbox
from services.ddp_streamer.recent import Receipts
from services.ddp_streamer.room_frames import shows_room
from services.ddp_streamer.wheel import NEVER

__all__ = ["Cause", "Common", "Connection", "ConnectionListener", "OpenSession", "Peer"]

log = get_logger(__name__)
_refused = Sparing(log, "refused")

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
_CLIENTS_FAULT: Final[frozenset[Cause]] = frozenset({"protocol", "kicked", "slow"})
_FLOOD_PAUSE = 1.0  # seconds without reading after the first flood
_FLOOD_FORGIVEN = 60.0  # seconds after which a flood counts as the first one again
_HEARTBEAT_SPREAD = 5.0  # seconds; so that clients of a restarted pod are not pinged together
_SOON = (2.0, 8.0)  # seconds after which a connection over a soft limit is asked to leave
_LOOK_AGAIN = 1.0  # seconds; when a limit was passed that must not be heeded now
_SERVER_ID_RAW = websocket.text_frame(messages.SERVER_ID)
_SERVER_ID_SOCKJS = websocket.text_frame(sockjs.OPEN) + websocket.text_frame(
    sockjs.wrap(messages.SERVER_ID)
)
_PING_RAW = websocket.text_frame(messages.PING)
_PING_SOCKJS = websocket.text_frame(sockjs.wrap(messages.PING))
_SOCKJS_HEARTBEAT = websocket.text_frame(sockjs.HEARTBEAT)
_KINDS = {
    b"resu": "result",
    b"read": "ready",
    b"nosu": "nosub",
    b"chan": "changed",
    b"ping": "ping",
    b"pong": "pong",
}


class _State(IntEnum):
    OPEN = 0
    CLOSING = 1  # a close frame was sent; waiting for the client's, or for the socket to end
    CLOSED = 2


class Connection(asyncio.Protocol):
    """One open WebSocket. All methods belong to the event loop's thread."""

    __slots__ = (
        "_authenticated",
        "_cause",
        "_code",
        "_common",
        "_control_full_at",
        "_cut_at",
        "_frames_full_at",
        "_heartbeat",
        "_is_plain",
        "_is_sockjs",
        "_leave_at",
        "_listener",
        "_login_by",
        "_open_outbox",
        "_opened_at",
        "_outbox",
        "_parser",
        "_pinged_at",
        "_positioned",
        "_reason",
        "_resume_at",
        "_seen_at",
        "_state",
        "_struck_at",
        "_tally",
        "_transport",
        "_written_until",
        "connected",
        "connection_id",
        "login_pending",
        "peer",
        "wake_at",
    )

    def __init__(self, common: Common, peer: Peer) -> None:
        now = common.loop.time()
        settings = common.settings
        self._common = common
        self.peer = peer
        self.connection_id = random_id(20)
        """Public name of this connection; may be logged. Not the id of the DDP session."""
        self.connected = False
        """A DDP `connect` was accepted."""
        self.login_pending = False
        """Set by the session while a login or logout is unanswered: some clients are lost when
        they are closed then, so neither limits nor login deadlines close the socket meanwhile."""
        self.wake_at = NEVER
        self._authenticated = False
        self._state = _State.OPEN
        self._code, self._reason = CUT, ""
        self._cause: Cause = "client"
        self._listener: ConnectionListener | None = None
        self._transport: asyncio.Transport | None = None
        self._outbox: Outbox | None = None
        self._open_outbox: Outbox | None = None  # the same while messages may be sent
        self._tally = common.tally
        self._is_sockjs = peer.sockjs
        self._is_plain = not peer.sockjs  # takes shared frames as they are
        self._positioned = False
        self._parser: websocket.FrameParser | None = websocket.FrameParser(settings.max_frame_bytes)
        self._opened_at = self._seen_at = now
        self._pinged_at = 0.0  # 0: no ping is unanswered
        self._heartbeat = settings.heartbeat_interval + random.uniform(-1, 1) * min(  # noqa: S311
            _HEARTBEAT_SPREAD, settings.heartbeat_interval / 6
        )
        self._frames_full_at = self._control_full_at = now
        self._struck_at = -_FLOOD_FORGIVEN
        self._written_until = NEVER  # frames queued later were forgotten
        self._resume_at = NEVER  # when reading goes on after a flood
        self._cut_at = NEVER  # when a closing handshake has taken too long
        self._leave_at = NEVER  # when a connection over the soft limit is asked to leave
        self._login_by = now + settings.anonymous_timeout if settings.anonymous_timeout else NEVER

    # --- for sessions -----------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """True from the moment `close` was called or the socket went away."""
        return self._state is not _State.OPEN

    @property
    def authenticated(self) -> bool:
        """Whether somebody is logged in. Set by the session after login and logout."""
        return self._authenticated

    @authenticated.setter
    def authenticated(self, value: bool) -> None:
        if value != self._authenticated and self._state is not _State.CLOSED:
            self._authenticated = value
            timeout = self._common.settings.anonymous_timeout
            if value or not timeout:
                self._login_by = NEVER
            else:
                self._login_by = self._common.loop.time() + timeout
                self._common.wheel.schedule(self, self._login_by)
            self._common.keeper.login_changed(self)

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

    @property
    def receipts(self) -> Receipts:
        """How far its frames have come, and why it ended if it has."""
        written, outbox = self._written_until, self._outbox
        if outbox is not None and not outbox.empty:
            written = min(written, outbox.flushed_at)
        closing = self._cut_at - self._common.settings.close_timeout
        ended = self._state is not _State.OPEN
        return Receipts(
            written_until=written,
            closing_at=closing if self._cut_at < NEVER else NEVER,
            pinged_at=self._pinged_at,
            answered_at=self._seen_at,
            cause=self._cause if ended else "",
        )

    def send(self, message: bytes) -> None:
        """Queue one DDP message (its JSON text) for this client only. Never waits or raises.

        Does nothing after the connection has closed. Everything that is queued in one turn of
        the loop leaves in one write. Over the hard limit the connection is closed with 1013.
        """
        if self._state is _State.OPEN:
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
        if self._state is not _State.OPEN or self._outbox is None:
            return
        if self._is_sockjs:
            self._put_last(websocket.text_frame(sockjs.close(code, reason)))
        self._put_last(websocket.close_frame(code, reason))
        self._begin_closing(code, reason, cause or _CAUSES.get(code, "kicked"))
        if self._resume_at < NEVER:
            self._resume_reading()  # for the client's close frame

    # --- for the listener -------------------------------------------------------------------

    def open(self, transport: asyncio.Transport, open_session: OpenSession, tail: bytes) -> None:
        """Take over a transport on which the handshake has been answered.

        `tail`: bytes of the client that were read behind its handshake.
        """
        now = self._common.loop.time()
        settings = self._common.settings
        self._transport = transport
        self._outbox = Outbox(
            transport,
            self._common.flusher,
            soft=settings.soft_buffered_bytes,
            hard=settings.max_buffered_bytes,
            now=now,
        )
        self._open_outbox = self._outbox
        transport.set_write_buffer_limits(high=0)
        self._common.keeper.joined(self)
        self._queue(_SERVER_ID_SOCKJS if self._is_sockjs else _SERVER_ID_RAW)
        self._tally.messages_out["other"] += 1
        first = min(settings.connect_timeout, self._heartbeat)
        if self._is_sockjs:
            first = min(first, settings.sockjs_heartbeat)
        self._common.wheel.schedule(self, min(now + first, self._login_by))
        self._listener = open_session(self)
        if tail:
            self.data_received(tail)

    def leave_soon(self) -> None:
        """Over the soft limit of the process: serve, then ask to go elsewhere."""
        self._leave_at = self._opened_at + random.uniform(*_SOON)  # noqa: S311
        self._common.wheel.schedule(self, self._leave_at)

    def log_in_soon(self) -> None:
        """Too many anonymous connections of one address: a login must come soon."""
        self._login_by = min(self._login_by, self._opened_at + random.uniform(*_SOON))  # noqa: S311
        self._common.wheel.schedule(self, self._login_by)

    def abort(self) -> None:
        """Cut the socket without a handshake."""
        if self._transport is not None:
            self._transport.abort()

    # --- called by the transport ------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        now = self._common.loop.time()
        self._seen_at = now
        self._tally.bytes_in += len(data)
        if self._parser is not None:
            self._parser.feed(data)
            self._read(now)

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

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self._state is _State.CLOSED:
            return
        self._state = _State.CLOSED
        if self._outbox is not None:
            self._written_until = self.receipts.written_until
            self._outbox.close()
        self._transport = self._outbox = self._open_outbox = self._parser = None
        common = self._common
        common.keeper.left(self)
        common.metrics.disconnects.labels(self._cause).inc()
        common.metrics.connection_duration.observe(common.loop.time() - self._opened_at)
        listener, self._listener = self._listener, None
        self._log_end(None if listener is None else listener.user_id)
        if listener is not None:
            try:
                listener.on_closed(self._code, self._reason)
            except Exception:
                log.exception("session_failed", conn=self.connection_id)

    def _log_end(self, user_id: str | None) -> None:
        """The one line that a connection leaves: ids and codes, nothing a client wrote."""
        write = log.warning if self._cause in _CLIENTS_FAULT else log.info
        write(
            "session_closed",
            conn=self.connection_id,
            uid=user_id,
            peer=self.peer.address,
            reason=self._cause,
            code=self._code,
            lasted_s=round(self._common.loop.time() - self._opened_at, 3),
        )

    # --- reading ----------------------------------------------------------------------------

    def _read(self, now: float) -> None:
        """Handle the frames that are complete, until a flood or the end stops it."""
        try:
            while self._parser is not None and self._resume_at == NEVER:
                frame = self._parser.next()
                if frame is None:
                    return
                self._handle_frame(frame[0], frame[1], now)
        except ProtocolViolation as violation:
            self._violated(violation)
            self._end_framing()

    def _handle_frame(self, opcode: int, payload: bytes, now: float) -> None:
        if opcode == websocket.CLOSE:
            self._closed_by_client(payload)
        elif self._state is not _State.OPEN:
            return  # only the client's close frame still counts
        elif opcode == websocket.TEXT:
            self._charge_frame(now)
            try:
                self._handle_text(payload, now)
            except ProtocolViolation as violation:
                self._violated(violation)
        elif opcode == websocket.PING:
            if self._outbox is not None and not self._outbox.congested:
                self._queue(websocket.pong_frame(payload))
            self._charge_control(now)
        elif opcode == websocket.PONG:
            self._charge_control(now)
        else:
            self._charge_frame(now)  # a fragment

    def _handle_text(self, payload: bytes, now: float) -> None:
        found = sockjs.unwrap(payload)
        if len(found) > self._common.settings.frame_burst:
            self._kick()
        for index, text in enumerate(found):
            if index:
                self._charge_frame(now)
            if self._state is not _State.OPEN:
                return
            self._handle_message(messages.parse(text), text)

    def _violated(self, violation: ProtocolViolation) -> None:
        if self._state is _State.OPEN:
            self._common.metrics.bad_input.labels(str(violation.code)).inc()
            self.close(violation.code, violation.reason)

    def _end_framing(self) -> None:
        """What follows cannot be understood: end our side behind the close frame.

        The client's bytes are read and thrown away until it ends its side too; closing with
        unread bytes would reset the connection and take our close frame with it.
        """
        self._parser = None
        if self._outbox is not None and self._transport is not None:
            self._common.flusher.written += self._outbox.flush(self._common.loop.time())
            if not self._outbox.congested:
                self._outbox.close()
                self._transport.write_eof()

    def _handle_message(self, message: Inbound, text: bytes) -> None:
        kind = type(message).__name__.lower()
        self._tally.messages_in[kind] += 1
        self._tally.bytes_in_by_type[kind] += len(text)
        if isinstance(message, Ping):
            self.send(messages.pong(message.id))
        elif isinstance(message, Pong):
            pass
        elif not self.connected:
            self._greet(message, text)
        elif isinstance(message, Malformed):
            self._common.metrics.bad_input.labels("message").inc()
            _refused(conn=self.connection_id, what="message", reason="malformed")
            self.send(messages.error("Bad request", text))
        elif isinstance(message, Connect):
            _refused(conn=self.connection_id, what="message", reason="already_connected")
            self.send(messages.error("Already connected", text))
        else:
            self._tell(message)

    def _greet(self, message: Inbound, text: bytes) -> None:
        """The first message, which has to be `connect`."""
        if not isinstance(message, Connect):
            self.send(messages.error("Must connect first", text))
            self._common.metrics.bad_input.labels("not_connected").inc()
            self.close(1002, messages.PROTOCOL_ERROR)
        elif message.accepted:
            self.connected = True
            self._common.keeper.greeted(self)
            self._tell(message)
        else:
            self.send(messages.FAILED)
            self.close(1000, cause="protocol")

    def _tell(self, message: Inbound) -> None:
        if self._listener is None:
            return
        try:
            self._listener.on_message(message)
        except Exception:
            log.exception("session_failed", conn=self.connection_id)
            self.close(1011, "INTERNAL_ERROR", cause="error")

    def _closed_by_client(self, payload: bytes) -> None:
        code, reason = websocket.close_status(payload)
        if self._state is _State.OPEN and self._outbox is not None:
            self._put_last(websocket.close_frame(code))
            self._begin_closing(code, reason, "client")
        # Both close frames are on their way: end the TCP connection behind them.
        if self._outbox is not None and self._transport is not None:
            self._common.flusher.written += self._outbox.flush(self._common.loop.time())
            if self._outbox.congested:
                self._outbox.drop()
            self._transport.close()

    # --- writing ----------------------------------------------------------------------------

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
            self._written_until = self.receipts.written_until
            self._tally.dropped["slow_client"] += self._outbox.drop() + refused
        self.close(1013, "SLOW_CONSUMER", cause="slow")

    def _begin_closing(self, code: int, reason: str, cause: Cause) -> None:
        self._state = _State.CLOSING
        self._open_outbox = None
        self._code, self._reason, self._cause = code, reason, cause
        self._cut_at = self._common.loop.time() + self._common.settings.close_timeout
        self._common.wheel.schedule(self, self._cut_at)

    # --- floods -----------------------------------------------------------------------------

    def _charge_frame(self, now: float) -> None:
        rate = self._common.frame_rate
        self._frames_full_at = rate.after(self._frames_full_at, now)
        if rate.exceeded(self._frames_full_at, now):
            self._flooded(now)

    def _charge_control(self, now: float) -> None:
        rate = self._common.control_rate
        self._control_full_at = rate.after(self._control_full_at, now)
        if rate.exceeded(self._control_full_at, now):
            self._flooded(now)

    def _flooded(self, now: float) -> None:
        """Stop reading for a second; the next time, close."""
        if self._state is not _State.OPEN or self._resume_at < NEVER:
            return
        if now - self._struck_at < _FLOOD_FORGIVEN:
            self._kick()
            return
        self._struck_at = now
        self._resume_at = now + _FLOOD_PAUSE
        if self._transport is not None:
            self._transport.pause_reading()
        self._common.wheel.schedule(self, self._resume_at)

    def _kick(self) -> None:
        self._common.metrics.bad_input.labels("flood").inc()
        self.close(1008, "POLICY", cause="kicked")

    def _resume_reading(self) -> None:
        self._resume_at = NEVER
        if self._transport is not None:
            self._transport.resume_reading()
            self._read(self._common.loop.time())

    # --- time -------------------------------------------------------------------------------

    def wake(self, now: float) -> float:
        """Do what time demands; return when to be woken again. Called by the timer wheel."""
        if self._state is _State.OPEN:
            if now >= self._resume_at:
                self._resume_reading()
            next_at = min(
                self._check_silence(now),
                self._check_limits(now),
                self._check_outbox(now),
                self._resume_at,
            )
            if self._state is _State.OPEN:
                return next_at
        if self._state is _State.CLOSED:
            return NEVER
        if now >= self._cut_at:
            self.abort()
            return NEVER
        return self._cut_at

    def _check_silence(self, now: float) -> float:
        settings = self._common.settings
        if not self.connected:
            due = self._opened_at + settings.connect_timeout
            if now >= due:
                self.close(1002, messages.PROTOCOL_ERROR)
            return due
        # The loop's clock stands still within one round, in which a near client's pong may come.
        if self._seen_at >= self._pinged_at:
            due = self._seen_at + self._heartbeat
            if now < due:
                return due
            self._pinged_at = now
            self._tally.messages_out["ping"] += 1
            self._queue(_PING_SOCKJS if self._is_sockjs else _PING_RAW, "ping")
            return now + settings.heartbeat_timeout
        due = self._pinged_at + settings.heartbeat_timeout
        if now >= due:
            self.close(HEARTBEAT_TIMEOUT, "TIMEOUT")
        return due

    def _check_limits(self, now: float) -> float:
        login_by = NEVER if self._authenticated else self._login_by
        due = min(self._leave_at, login_by)
        if now < due:
            return due
        if self.login_pending or (now < self._leave_at and self._common.anonymous_may_stay()):
            return now + _LOOK_AGAIN
        if now >= self._leave_at:
            self.close(1013, "TRY_AGAIN_LATER")
        else:
            self.close(1008, "POLICY")
        return due

    def _check_outbox(self, now: float) -> float:
        outbox, settings = self._outbox, self._common.settings
        if outbox is None:
            return NEVER
        if outbox.congested:
            if now - outbox.stalled_since(now) >= settings.stall_timeout:
                self._too_slow()
            return now + settings.stall_timeout / 4
        if not self._is_sockjs:
            return NEVER
        due = outbox.flushed_at + settings.sockjs_heartbeat
        if now < due:
            return due
        self._queue(_SOCKJS_HEARTBEAT)
        return now + settings.sockjs_heartbeat
