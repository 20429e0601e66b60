"""Messages for one person alone, never stored."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import quote

from nats.errors import Error as NatsError

from hubbub.contracts.event_log import EPHEMERAL_SUBJECTS, Header, Kind, user_audience
from hubbub.ddp import ejson
from hubbub.ddp.stream import stream_frame
from hubbub.errors import Unavailable
from hubbub.ids import random_id


class Publisher(Protocol):
    """The part of a NATS client that is needed here."""

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: Any = None
    ) -> None:
        """Send a message into the air."""
        ...


class Whisper:
    """Shows a text to the open sockets of one user, in a room. At most once."""

    def __init__(self, client: Publisher) -> None:
        self._client = client

    async def tell(
        self,
        user_id: str,
        room_id: str,
        text: str,
        *,
        by: Mapping[str, str],
        now: datetime,
        thread_id: str | None = None,
    ) -> None:
        """Show `text`, as said by `by` (`_id`, `username`). Raises: Unavailable."""
        message: dict[str, Any] = {
            "_id": random_id(),
            "rid": room_id,
            "msg": text,
            "ts": now,
            "_updatedAt": now,
            "u": dict(by),
            "private": True,
            "groupable": False,
        }
        if thread_id is not None:
            message["tmid"] = thread_id
        key = f"{user_id}/message"
        headers = {
            Header.KIND: str(Kind.FRAME),
            Header.STREAM: "notify-user",
            Header.KEY: quote(key, safe=""),
            Header.UID: quote(user_id, safe=""),
        }
        frame = stream_frame("notify-user", key, ejson.dumps([message]))
        try:
            await self._client.publish(
                EPHEMERAL_SUBJECTS + user_audience(user_id), frame, headers=headers
            )
        except NatsError as error:
            raise Unavailable("NATS does not take messages") from error
