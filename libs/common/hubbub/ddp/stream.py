"""Frames of streams, put together and taken apart as bytes, without parsing.

An event is encoded once for the whole cluster. A frame that names its receiver
(`<uid>/rooms-changed`) shares its `args` with all others and gets its own front by splicing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import orjson

STREAM_SUFFIX: Final = b"}}"
"""What follows the `args` array of a stream frame."""


@lru_cache(maxsize=4096)
def stream_prefix(stream: str, key: str, document_id: str = "id") -> bytes:
    """Everything in front of the `args` array.

    `stream` is the name without `stream-`, `key` the event name. Every stream uses the document
    id `id`, except `user-presence`, which uses the user's id.
    """
    return b'{"msg":"changed","collection":%b,"id":%b,"fields":{"eventName":%b,"args":' % (
        orjson.dumps("stream-" + stream),
        orjson.dumps(document_id),
        orjson.dumps(key),
    )


def stream_frame(stream: str, key: str, args: bytes, document_id: str = "id") -> bytes:
    """The DDP message that brings an event; `args` is the text of a JSON array."""
    return stream_prefix(stream, key, document_id) + args + STREAM_SUFFIX


def args_of(frame: bytes, stream: str, key: str, document_id: str = "id") -> bytes:
    """The text of the `args` array in a frame made by `stream_frame` with the same names.

    Raises:
        ValueError: it is no such frame.
    """
    prefix = stream_prefix(stream, key, document_id)
    if not (frame.startswith(prefix) and frame.endswith(STREAM_SUFFIX)):
        raise ValueError(f"not a frame of stream-{stream}")
    return frame[len(prefix) : -len(STREAM_SUFFIX)]
