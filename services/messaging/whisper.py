"""Frames for one user that are never stored: notices of refused sends, desktop notifications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol
from urllib.parse import quote

from nats.errors import Error as NatsError

from hubbub.contracts.event_log import EPHEMERAL_SUBJECTS, Header, Kind, user_audience
from hubbub.ddp import ejson
from hubbub.ddp.stream import stream_frame
from hubbub.errors import Unavailable
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

What = Literal["message", "notification"]


class Whisper(Protocol):
    """Tells something to the open sockets of one user. At most once, nobody waits for it."""

    async def tell(self, user_id: str, what: What, content: Mapping[str, Any]) -> None:
        """Tell `content` as the user's event `what`."""
        ...


class Publisher(Protocol):
    """The part of a NATS client that is needed here."""

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: Any = None
    ) -> None:
        """Send a message into the air."""
        ...


class NatsWhisper:
    """Whispers over core NATS. Without a connection they are lost, as they may be."""

    def __init__(self, client: Publisher) -> None:
        self._client = client

    async def tell(self, user_id: str, what: What, content: Mapping[str, Any]) -> None:
        """Tell `content` as the user's event `what`."""
        key = f"{user_id}/{what}"
        try:
            frame = stream_frame("notify-user", key, ejson.dumps([content]))
        except ejson.EjsonError as error:
            log.warning("whisper_not_encodable", error=str(error))  # a foreign document
            return
        headers = {
            Header.KIND: str(Kind.FRAME),
            Header.STREAM: "notify-user",
            Header.KEY: quote(key, safe=""),
            Header.UID: quote(user_id, safe=""),
        }
        subject = EPHEMERAL_SUBJECTS + user_audience(user_id)
        try:
            await self._client.publish(subject, frame, headers=headers)
        except (NatsError, Unavailable) as error:
            log.debug("whisper_lost", err_type=type(error).__name__)
