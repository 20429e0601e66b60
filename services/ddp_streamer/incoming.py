"""The way in of one connection: bytes to frames, frames to DDP messages, and an end to floods."""

from __future__ import annotations

from hubbub.ddp import messages, sockjs, websocket
from hubbub.ddp.messages import Connect, Inbound, Malformed, Ping, Pong, ProtocolViolation
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.sparing import Sparing
from services.ddp_streamer.common import Cause, Common, ConnectionListener, Peer
from services.ddp_streamer.outgoing import Outgoing, State
from services.ddp_streamer.wheel import NEVER

log = get_logger(__name__)
_refused = Sparing(log, "refused")

_FLOOD_PAUSE = 1.0  # seconds without reading after the first flood
_FLOOD_FORGIVEN = 60.0  # seconds after which a flood counts as the first one again


class Incoming(Outgoing):
    """The half of a connection that reads, and answers what needs no session."""

    __slots__ = (
        "_control_full_at",
        "_frames_full_at",
        "_listener",
        "_parser",
        "_resume_at",
        "_seen_at",
        "_struck_at",
        "connected",
    )

    def __init__(self, common: Common, peer: Peer) -> None:
        super().__init__(common, peer)
        now = common.loop.time()
        self.connected = False
        """A DDP `connect` was accepted."""
        self._listener: ConnectionListener | None = None
        self._parser: websocket.FrameParser | None = websocket.FrameParser(
            common.settings.max_frame_bytes
        )
        self._seen_at = now
        self._frames_full_at = self._control_full_at = now
        self._struck_at = -_FLOOD_FORGIVEN
        self._resume_at = NEVER  # when reading goes on after a flood

    def close(self, code: int, reason: str = "", *, cause: Cause | None = None) -> None:
        super().close(code, reason, cause=cause)
        if self.closed and self._resume_at < NEVER:
            self._resume_reading()  # for the client's close frame

    def data_received(self, data: bytes) -> None:
        """Bytes of the client."""
        now = self._common.loop.time()
        self._seen_at = now
        self._tally.bytes_in += len(data)
        if self._parser is not None:
            self._parser.feed(data)
            self._read(now)

    # --- frames -----------------------------------------------------------------------------

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
        elif self._state is not State.OPEN:
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
            if self._state is not State.OPEN:
                return
            self._handle_message(messages.parse(text), text)

    def _violated(self, violation: ProtocolViolation) -> None:
        if self._state is State.OPEN:
            self._common.metrics.bad_input.labels(str(violation.code)).inc()
            self.close(violation.code, violation.reason)

    def _end_framing(self) -> None:
        """What follows cannot be understood: end our side behind the close frame.

        The client's bytes are read and thrown away until it ends its side too; closing with
        unread bytes would reset the connection and take our close frame with it.
        """
        self._parser = None
        if self._outbox is not None and self._transport is not None and self._flush():
            self._outbox.close()
            self._transport.write_eof()

    def _closed_by_client(self, payload: bytes) -> None:
        code, reason = websocket.close_status(payload)
        if self._state is State.OPEN and self._outbox is not None:
            self._put_last(websocket.close_frame(code))
            self._begin_closing(code, reason, "client")
        # Both close frames are on their way: end the TCP connection behind them.
        if self._outbox is not None and self._transport is not None:
            if not self._flush():
                self._outbox.drop()
            self._transport.close()

    # --- messages ---------------------------------------------------------------------------

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
            self._common.keeper.greeted()
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
        if self._state is not State.OPEN or self._resume_at < NEVER:
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
