"""A connection to NATS that was left for another one, and stands until its calls are answered.

A NATS server lets a service answer only by the connection over which it was asked. What was asked
over the old one cannot be answered over the new one: the caller would wait until its time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from nats.aio.transport import Transport

from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

_PATIENCE = 30.0  # seconds; the server ends all its connections at about that time anyway
_LOOK = 0.05  # seconds between looks at what is still to be answered
_CLOSING = 1.0  # seconds in which the last answers leave


class Former:
    """The old connection, to write answers to. Nothing more is heard over it."""

    def __init__(
        self,
        transport: Transport,
        at_hand: Callable[[], Iterable[bytes]],
        *,
        patience: float = _PATIENCE,
    ) -> None:
        """
        Args:
            at_hand: where the calls that the process works on are to be answered; those of this
                moment came over this connection.
            patience: seconds after which it ends, answered or not.
        """
        self._transport = transport
        self._at_hand = at_hand
        self._owed = frozenset(at_hand())
        self._patience = patience

    def answer(self, reply: bytes, body: bytes) -> bool:
        """Answer a call, if it came over this connection."""
        if reply not in self._owed:
            return False
        self._transport.write(b"PUB %b %d\r\n%b\r\n" % (reply, len(body), body))
        return True

    async def end(self) -> None:
        """Close it when every call that came over it is over."""
        try:
            for _ in range(round(self._patience / _LOOK)):
                if not self._left():
                    break
                await asyncio.sleep(_LOOK)
            else:
                log.warning("nats_left_unanswered", calls=len(self._left()))
        finally:
            self._transport.close()  # type: ignore[no-untyped-call]  # nats-py's
        try:
            async with asyncio.timeout(_CLOSING):
                await self._transport.wait_closed()  # type: ignore[no-untyped-call]
        except OSError as error:  # a TimeoutError too
            log.info("nats_left_badly", err_type=type(error).__name__)

    def _left(self) -> frozenset[bytes]:
        return self._owed.intersection(self._at_hand())
