"""One client's WebSocket: bytes in, DDP messages out, and a bounded way back.

After the HTTP handshake the transport belongs to a `Connection`, a plain protocol object: no
task, no queue and no timer of its own, so that an idle client costs little more than its socket.
It answers by itself what needs no session: server_id, pings, the DDP greeting's failures, bad
requests, violations of the protocol, silence, floods.

* `outgoing`  the half that writes
* `incoming`  the half that reads
* here        its beginning, its end, and what time demands in between
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

from hubbub.ddp import messages, sockjs, websocket
from hubbub.telemetry.log import get_logger
from services.ddp_streamer.common import (
    Cause,
    Common,
    ConnectionListener,
    OpenSession,
    Peer,
)
from services.ddp_streamer.incoming import Incoming
from services.ddp_streamer.outgoing import HEARTBEAT_TIMEOUT, State
from services.ddp_streamer.recent import Receipts
from services.ddp_streamer.wheel import NEVER

__all__ = ["Cause", "Common", "Connection", "ConnectionListener", "OpenSession", "Peer"]

log = get_logger(__name__)

_CLIENTS_FAULT: Final[frozenset[Cause]] = frozenset({"protocol", "kicked", "slow"})
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


class Connection(Incoming):
    """One open WebSocket. All methods belong to the event loop's thread."""

    __slots__ = (
        "_authenticated",
        "_heartbeat",
        "_leave_at",
        "_login_by",
        "_opened_at",
        "_pinged_at",
        "login_pending",
    )

    def __init__(self, common: Common, peer: Peer) -> None:
        super().__init__(common, peer)
        settings = common.settings
        self.login_pending = False
        """Set by the session while a login or logout is unanswered: some clients are lost when
        they are closed then, so neither limits nor login deadlines close the socket meanwhile."""
        self._authenticated = False
        self._opened_at = self._seen_at
        self._pinged_at = 0.0  # 0: no ping is unanswered
        self._heartbeat = settings.heartbeat_interval + random.uniform(-1, 1) * min(  # noqa: S311
            _HEARTBEAT_SPREAD, settings.heartbeat_interval / 6
        )
        self._leave_at = NEVER  # when a connection over the soft limit is asked to leave
        timeout = settings.anonymous_timeout
        self._login_by = self._opened_at + timeout if timeout else NEVER

    # --- for sessions -----------------------------------------------------------------------

    @property
    def authenticated(self) -> bool:
        """Whether somebody is logged in. Set by the session after login and logout."""
        return self._authenticated

    @authenticated.setter
    def authenticated(self, value: bool) -> None:
        if value != self._authenticated and self._state is not State.CLOSED:
            self._authenticated = value
            timeout = self._common.settings.anonymous_timeout
            if value or not timeout:
                self._login_by = NEVER
            else:
                self._login_by = self._common.loop.time() + timeout
                self._common.wheel.schedule(self, self._login_by)
            self._common.keeper.login_changed(self)

    @property
    def receipts(self) -> Receipts:
        """How far its frames have come, and why it ended if it has."""
        closing = self._cut_at - self._common.settings.close_timeout
        ended = self._state is not State.OPEN
        return Receipts(
            written_until=self._written,
            closing_at=closing if self._cut_at < NEVER else NEVER,
            pinged_at=self._pinged_at,
            answered_at=self._seen_at,
            cause=self._cause if ended else "",
        )

    # --- its beginning and its end ----------------------------------------------------------

    def open(self, transport: asyncio.Transport, open_session: OpenSession, tail: bytes) -> None:
        """Take over a transport on which the handshake has been answered.

        `tail`: bytes of the client that were read behind its handshake.
        """
        now = self._common.loop.time()
        settings = self._common.settings
        self._open_way_out(transport)
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

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        if self._state is State.CLOSED:
            return
        self._state = State.CLOSED
        if self._outbox is not None:
            self._written_until = self._written
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

    # --- time -------------------------------------------------------------------------------

    def wake(self, now: float) -> float:
        """Do what time demands; return when to be woken again. Called by the timer wheel."""
        if self._state is State.OPEN:
            if now >= self._resume_at:
                self._resume_reading()
            next_at = min(
                self._check_silence(now),
                self._check_limits(now),
                self._check_outbox(now),
                self._resume_at,
            )
            if self._state is State.OPEN:
                return next_at
        if self._state is State.CLOSED:
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
