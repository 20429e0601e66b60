"""Frames that many sockets share: built once per streamer, written as the same bytes object."""

from __future__ import annotations

from hubbub.ddp import sockjs, websocket
from services.ddp_streamer.positions import positioned


class SharedFrame:
    """One DDP message for any number of connections.

    The WebSocket frame for raw connections is built at once; the SockJS form only when the first
    SockJS connection asks for it, and then kept. `message` is the DDP JSON text itself.

    A *droppable* frame (typing, presence) is not queued for a connection whose backlog is over the
    soft limit. With a `key`, the latest droppable frame of each key is kept and sent when the
    backlog has gone, so that a state (presence) is late but not wrong; without one (typing) it is
    forgotten.

    With a `position` (its sequence in the log; 0: none) there is a second form of both, for
    clients that asked for positions; it too is built when the first of them needs it.
    """

    __slots__ = ("_placed", "_position", "_sockjs", "droppable", "key", "message", "raw")

    def __init__(
        self,
        message: bytes,
        *,
        droppable: bool = False,
        key: str | None = None,
        position: int = 0,
    ) -> None:
        self.message = message
        self.raw = websocket.text_frame(message)
        self.droppable = droppable
        self.key = key
        self._position = position
        self._sockjs: bytes | None = None
        self._placed: SharedFrame | None = None

    @property
    def sockjs(self) -> bytes:
        """The same message as a SockJS array in a WebSocket frame."""
        frame = self._sockjs
        if frame is None:
            frame = self._sockjs = websocket.text_frame(sockjs.wrap(self.message))
        return frame

    @property
    def placed(self) -> SharedFrame:
        """The same with its place in the log, where it has one."""
        if not self._position:
            return self
        frame = self._placed
        if frame is None:
            frame = self._placed = SharedFrame(positioned(self.message, self._position))
        return frame
