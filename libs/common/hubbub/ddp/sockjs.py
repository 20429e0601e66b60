"""SockJS framing: how DDP messages travel inside WebSocket text frames of a SockJS client.

Server to client: `o` (open), `a["<message>", ...]`, `h` (heartbeat), `c[code,"reason"]` (close).
Client to server: a JSON array of strings, each one message.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import orjson

from hubbub.ddp.messages import UNSUPPORTED_DATA, ProtocolViolation

OPEN: Final = b"o"
HEARTBEAT: Final = b"h"


def wrap(message: bytes) -> bytes:
    """The frame that carries one DDP message (its JSON text)."""
    return b"a[" + orjson.dumps(message.decode()) + b"]"


def wrap_all(messages: Iterable[bytes]) -> bytes:
    """The frame that carries several DDP messages, in order."""
    return b"a" + orjson.dumps([message.decode() for message in messages])


def close(code: int, reason: str) -> bytes:
    """The frame that announces the end, sent ahead of the WebSocket close frame."""
    return b"c" + orjson.dumps([code, reason])


def unwrap(payload: bytes) -> list[bytes]:
    """The DDP messages in one text frame of a client, oldest first.

    An array of strings is what SockJS clients send; one string or one object by itself is
    tolerated, on raw connections as well. An empty frame or array holds nothing. An object is
    given back as it came: whether it is a DDP message is for `messages.parse` to say.

    Raises:
        ProtocolViolation: 1007: neither of these.
    """
    text = payload.strip()
    if not text:
        return []
    if text[0] not in b'["':
        return [text]
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ProtocolViolation(1007, UNSUPPORTED_DATA) from None
    found: list[bytes] = []
    for item in [content] if isinstance(content, str) else content:
        if not isinstance(item, str):
            raise ProtocolViolation(1007, UNSUPPORTED_DATA)
        if element := item.strip():
            found.append(element.encode())
    return found
