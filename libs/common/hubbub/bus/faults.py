"""Errors on the wire: `{"error":{"type":[…],"code","message","details","retryable","id"}}`.

`type` holds the names of the error's classes from itself up to `HubbubError`. The other side
raises the first of them that it knows, so a subclass declared in a contract arrives as itself and
a stranger as its nearest known parent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from hubbub.errors import HubbubError, Internal, NotAllowed

OK_PREFIX = b'{"ok":'


def encode_error(error: HubbubError) -> bytes:
    """The reply that makes the caller raise `error`."""
    fault = {
        "type": _names(type(error)),
        "code": error.code,
        "message": error.reason,
        "details": error.details,
        "retryable": error.retryable,
        "id": error.error_id,
    }
    return orjson.dumps({"error": fault}, default=str, option=orjson.OPT_NON_STR_KEYS)


def decode_error(body: bytes) -> HubbubError:
    """The error in a reply; `Internal` when the reply is no reply at all."""
    try:
        fault = orjson.loads(body)["error"]
        names = [str(name) for name in fault["type"]]
        message = str(fault.get("message") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return Internal("the answer is not one that a service of Hubbub gives")
    details = fault.get("details")
    code = fault.get("code")
    error_id = fault.get("id")
    kind = _nearest(names)
    # The constructor of a subclass may take other arguments; the base's always suffices.
    error = kind.__new__(kind)
    HubbubError.__init__(
        error,
        message,
        code=code if isinstance(code, str | int) else None,
        details=details if isinstance(details, dict) else None,
        error_id=error_id if isinstance(error_id, str) else None,
    )
    retryable = fault.get("retryable")
    if isinstance(retryable, bool) and retryable is not kind.retryable:
        error.__dict__["retryable"] = retryable
    return error


def _names(kind: type[HubbubError]) -> list[str]:
    return [parent.__name__ for parent in kind.__mro__ if issubclass(parent, HubbubError)]


def _nearest(names: list[str]) -> type[HubbubError]:
    """The most precise known class. Two classes may share a name; then parents must agree."""
    known = list(_family(HubbubError))
    for position, name in enumerate(names):
        same_name = [kind for kind in known if kind.__name__ == name]
        for kind in same_name:
            if _names(kind) == names[position:]:
                return kind
        if len(same_name) == 1:
            return same_name[0]
    return HubbubError


def _family(kind: type[HubbubError]) -> Iterator[type[HubbubError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _family(child)


def too_deep(limit: int) -> HubbubError:
    """What a request gets that went through more services than `limit`."""
    details: dict[str, Any] = {"limit": limit}
    return NotAllowed(
        f"more than {limit} calls deep: services call each other in a circle?",
        code="error-call-too-deep",
        details=details,
    )
