"""What a connection is given, and what it needs of those around it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from hubbub.ddp.messages import Inbound
from services.ddp_streamer.flood import Rate
from services.ddp_streamer.metrics import StreamerMetrics
from services.ddp_streamer.outbox import Flusher
from services.ddp_streamer.settings import StreamerSettings
from services.ddp_streamer.tally import Tally
from services.ddp_streamer.wheel import TimerWheel

if TYPE_CHECKING:
    from services.ddp_streamer.connection import Connection

_CONTROL_BURST = 10.0  # seconds' worth of control frames that may come at once

Cause = Literal[
    "client", "ping_timeout", "slow", "protocol", "auth", "drain", "rebalance", "kicked", "error"
]
"""Why a connection ended: the label it is counted under."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What the handshake told about the other side."""

    address: str | None
    """Client address behind the trusted proxies; None when it cannot be known."""
    user_agent: str
    sockjs: bool


class ConnectionListener(Protocol):
    """What a connection tells its session. Called on the event loop; must not block.

    An exception that leaves one of these is a defect: it is logged, and the connection closed
    with 1011.
    """

    @property
    def user_id(self) -> str | None:
        """Who is logged in, for the log."""
        ...

    def on_message(self, message: Inbound) -> None:
        """A message that needs the session, in arrival order.

        Only these come: `Connect` (exactly once, first, with a version that is spoken here;
        answer it with `connected`), then `Method`, `Sub`, `Unsub` and `Refused`. Everything else
        is answered by the connection itself. After `Connection.close` nothing comes.
        """
        ...

    def on_closed(self, code: int, reason: str) -> None:
        """The socket is gone; called exactly once. `code` 1006: cut without a close frame."""
        ...


class OpenSession(Protocol):
    """Makes the session of a new connection; called right after the 101 answer was written."""

    def __call__(self, connection: Connection) -> ConnectionListener: ...


class Keeper(Protocol):
    """Who keeps count of connections; all calls are cheap."""

    def joined(self, connection: Connection) -> None: ...
    def greeted(self) -> None: ...
    def login_changed(self, connection: Connection) -> None: ...
    def left(self, connection: Connection) -> None: ...


def never() -> bool:
    """It is not so."""
    return False


class Common:
    """What all connections of a streamer share."""

    __slots__ = (
        "anonymous_may_stay",
        "control_rate",
        "flusher",
        "frame_rate",
        "keeper",
        "loop",
        "metrics",
        "settings",
        "tally",
        "wheel",
    )

    def __init__(
        self,
        settings: StreamerSettings,
        metrics: StreamerMetrics,
        keeper: Keeper,
        loop: asyncio.AbstractEventLoop,
        *,
        anonymous_may_stay: Callable[[], bool] = never,
    ) -> None:
        self.anonymous_may_stay = anonymous_may_stay
        """Whether the workspace lets people read who are not signed in."""
        self.settings = settings
        self.metrics = metrics
        self.tally: Tally = metrics.tally
        self.keeper = keeper
        self.loop = loop
        self.flusher = Flusher(loop)
        self.wheel = TimerWheel(loop.time())
        self.frame_rate = Rate(settings.frames_per_second, settings.frame_burst)
        control = settings.control_frames_per_second
        self.control_rate = Rate(control, control * _CONTROL_BURST)
