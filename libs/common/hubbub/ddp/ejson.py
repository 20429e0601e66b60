"""EJSON: JSON that also carries dates and bytes.

    datetime    {"$date": <integer milliseconds since 1970>}
    bytes       {"$binary": "<base64>"}
    inf, nan    {"$InfNaN": 1 | -1 | 0}
    ObjectId    its 24 hex digits (known by its class name, so that no driver is needed here)
    an object that only looks like one of these   {"$escape": {...}}

Custom types `{"$type": ..., "$value": ...}` pass both ways as they are. Key order is kept.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from hubbub.ddp.limits import MAX_DEPTH

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAIVE_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  some drivers hand out UTC without a zone
_MILLISECOND = timedelta(milliseconds=1)
_LAST_MILLISECOND = 253_402_300_799_999  # 9999-12-31T23:59:59.999Z
_INF_NAN = {1: math.inf, -1: -math.inf, 0: math.nan}
_LOOKS_LIKE_EJSON = (
    frozenset({"$date"}),
    frozenset({"$binary"}),
    frozenset({"$InfNaN"}),
    frozenset({"$escape"}),
    frozenset({"$regexp", "$flags"}),
)


class EjsonError(ValueError):
    """A value cannot be written as EJSON, or what looks like EJSON is not valid."""


def dumps(value: Any) -> bytes:
    """`value` as EJSON text.

    Documents without `null`, non-finite numbers and text that begins with `$` (nearly all) take
    one pass of orjson; the others are rewritten by `encode` first.

    Raises:
        EjsonError: a value of an unknown type, an integer beyond 64 bit, a key that is no text,
            a lone surrogate.
    """
    typed = 0

    def leaf(item: Any) -> Any:
        nonlocal typed
        if isinstance(item, datetime):
            typed += 1
            return {"$date": milliseconds(item)}
        if isinstance(item, bytes | bytearray | memoryview):
            typed += 1
            return {"$binary": base64.b64encode(item).decode()}
        return _other_leaf(item)

    try:
        text = orjson.dumps(value, leaf, orjson.OPT_PASSTHROUGH_DATETIME)
        # orjson writes NaN and infinities as null; an own key `$date` would need `$escape`.
        if b"null" in text or text.count(b'"$') != typed:
            text = orjson.dumps(encode(value), leaf, orjson.OPT_PASSTHROUGH_DATETIME)
    except (TypeError, RecursionError) as error:
        raise EjsonError(str(error)) from None
    return text


def encode(value: Any) -> Any:
    """`value` as plain JSON values (a new structure; text and numbers are shared).

    Raises:
        EjsonError: a value of an unknown type.
    """
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return {"$InfNaN": 0 if math.isnan(value) else int(math.copysign(1, value))}
    if isinstance(value, Mapping):
        encoded = {key: encode(item) for key, item in value.items()}
        return {"$escape": encoded} if encoded.keys() in _LOOKS_LIKE_EJSON else encoded
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if isinstance(value, datetime):
        return {"$date": milliseconds(value)}
    if isinstance(value, bytes | bytearray | memoryview):
        return {"$binary": base64.b64encode(value).decode()}
    return _other_leaf(value)


def decode(value: Any, depth: int = MAX_DEPTH) -> Any:
    """The values that parsed EJSON stands for. Dates become aware datetimes in UTC.

    Raises:
        EjsonError: a date outside the years 1970 to 9999, bad base64, a wrong `$InfNaN` or
            `$escape`, or nesting deeper than `depth`.
    """
    if depth < 0:
        raise EjsonError("nested too deep")
    if isinstance(value, list):
        return [decode(item, depth - 1) for item in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        ((key, content),) = value.items()
        if key == "$date":
            return _date(content)
        if key == "$binary":
            return _binary(content)
        if key == "$InfNaN":
            return _inf_nan(content)
        if key == "$escape":
            if not isinstance(content, dict):
                raise EjsonError("$escape holds no object")
            value = content
    elif value.keys() == {"$type", "$value"}:
        return value
    return {key: decode(item, depth - 1) for key, item in value.items()}


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970, rounded down. A time without a zone counts as UTC."""
    epoch = _NAIVE_EPOCH if moment.tzinfo is None else _EPOCH
    return (moment - epoch) // _MILLISECOND


def to_iso(value: Any) -> Any:
    """`value` as REST answers carry it: dates as ISO 8601 with milliseconds and `Z`.

    Bytes become base64, ObjectIds hex; other values stay as they are.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {key: to_iso(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_iso(item) for item in value]
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if type(value).__name__ == "ObjectId":
        return str(value)
    return value


def _other_leaf(item: Any) -> Any:
    if type(item).__name__ == "ObjectId":
        return str(item)
    if isinstance(item, Mapping):
        return dict(item)
    raise EjsonError(f"cannot write a {type(item).__name__} as EJSON")


def _date(content: Any) -> datetime:
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise EjsonError("$date is no number")
    if not 0 <= content <= _LAST_MILLISECOND:
        raise EjsonError("$date is outside the years 1970 to 9999")
    return _EPOCH + timedelta(milliseconds=int(content))


def _binary(content: Any) -> bytes:
    if not isinstance(content, str):
        raise EjsonError("$binary is no text")
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError):
        raise EjsonError("$binary is no base64") from None


def _inf_nan(content: Any) -> float:
    if isinstance(content, bool) or content not in (-1, 0, 1):
        raise EjsonError("$InfNaN is none of -1, 0, 1")
    return _INF_NAN[int(content)]
