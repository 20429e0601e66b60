"""NATS headers of calls and events: written and read as bytes.

Headers are left out where there is nothing to say. nats-py's own header code makes a dict of
strings for every message; a call needs one number in most cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hubbub.bus.context import CallContext

VERSION_LINE = b"NATS/1.0\r\n"
NO_RESPONDERS = b"NATS/1.0 503"
"""How the server's answer begins when nobody is subscribed to a subject."""

REQUEST = "Hubbub-Request"
PATIENCE = "Hubbub-Patience"
CALLER = "Hubbub-Caller"
USER = "Hubbub-User"
ORIGIN = "Hubbub-Origin"
DEPTH = "Hubbub-Depth"
ATTEMPT = "Hubbub-Attempt"
TRACE_PARENT = "traceparent"
TRACE_STATE = "tracestate"
MESSAGE_ID = "Nats-Msg-Id"

_PATIENCE_FIRST = b"NATS/1.0\r\nHubbub-Patience: "
_CALLERS_KNOWN = 1024
_callers: dict[bytes, str] = {}  # the rest of a block that names only its caller → caller

_LINE_BREAKS = str.maketrans("\r\n", "  ")


@dataclass(slots=True)
class CallHead(CallContext):
    """What the headers of a request say; it becomes the context of the work on it."""

    patience_ms: int = 0
    """Milliseconds that the caller still waited when it sent this; 0: not said."""
    deadline_ms: int = 0
    """Milliseconds since 1970, by the caller's clock, after which it no longer waits; 0: not
    said. Only callers of an older version say it; believed where `patience_ms` is missing."""


def header_line(name: str, value: str) -> bytes:
    """One header. Line breaks in `value` become spaces, so it cannot smuggle in another one."""
    return f"{name}: {value.translate(_LINE_BREAKS)}\r\n".encode()


def header_block(headers: dict[str, str]) -> bytes:
    """A whole block for `Connection.send`."""
    lines = b"".join(header_line(name, value) for name, value in headers.items())
    return b"%b%b\r\n" % (VERSION_LINE, lines)


def event_headers(context: CallContext, caller: str) -> dict[str, str]:
    """The headers of an event published in `context`.

    Deadline and depth end here: what a listener does is a request of its own.
    """
    named = {
        REQUEST: context.request_id,
        USER: context.user_id,
        ORIGIN: context.origin,
        TRACE_PARENT: context.trace_parent,
        TRACE_STATE: context.trace_state,
        CALLER: caller,
    }
    return {name: value.translate(_LINE_BREAKS) for name, value in named.items() if value}


def caller_tail(caller: str) -> bytes:
    """The part of a request's headers that is the same for every call of a process."""
    return header_line(CALLER, caller) + b"\r\n"


def context_lines(context: CallContext) -> bytes:
    """The headers that hand `context` on to whom we call."""
    is_known = (
        context.request_id is not None or context.user_id is not None or context.origin is not None
    )
    if context.depth == 0 and not is_known:
        return _trace_lines(context) if context.trace_parent is not None else b""
    lines = b""
    if context.depth:
        lines += b"Hubbub-Depth: %d\r\n" % context.depth
    if context.request_id is not None:
        lines += header_line(REQUEST, context.request_id)
    if context.user_id is not None:
        lines += header_line(USER, context.user_id)
    if context.origin is not None:
        lines += header_line(ORIGIN, context.origin)
    if context.trace_parent is not None:
        lines += _trace_lines(context)
    return lines


def _trace_lines(context: CallContext) -> bytes:
    lines = header_line(TRACE_PARENT, context.trace_parent or "")
    if context.trace_state:
        lines += header_line(TRACE_STATE, context.trace_state)
    return lines


def request_headers(patience_ms: int, attempt: int, lines: bytes, tail: bytes) -> bytes:
    """The header block of a request; the patience comes first so that it is found quickly."""
    if attempt > 1:
        lines = b"Hubbub-Attempt: %d\r\n%b" % (attempt, lines)
    return b"NATS/1.0\r\nHubbub-Patience: %d\r\n%b%b" % (patience_ms, lines, tail)


def parse_call_head(raw: bytes | None) -> CallHead:
    """Read the headers of a request.

    Unknown headers and numbers that are none are ignored: a header is an aid, never a reason to
    refuse a call.
    """
    if raw is None:
        return CallHead()
    if raw.startswith(_PATIENCE_FIRST):
        # Most calls say only how long they wait and who calls; few callers, many calls.
        end = raw.find(b"\r\n", len(_PATIENCE_FIRST))
        caller = _callers.get(raw[end:])
        if caller is not None:
            patience_ms = _number(raw[len(_PATIENCE_FIRST) : end], 0)
            return CallHead(caller=caller, patience_ms=patience_ms)
    return _parse_lines(raw)


def _parse_lines(raw: bytes) -> CallHead:
    head = CallHead()
    lines = raw.split(b"\r\n")[1:-2]
    for line in lines:
        name, _, value = line.partition(b": ")
        match name:
            case b"Hubbub-Patience":
                head.patience_ms = _number(value, head.patience_ms)
            case b"Hubbub-Deadline":
                head.deadline_ms = _number(value, head.deadline_ms)
            case b"Hubbub-Caller":
                head.caller = value.decode("utf-8", "replace")
            case b"Hubbub-Depth":
                head.depth = _number(value, head.depth)
            case b"Hubbub-Attempt":
                head.retrying = _number(value, 1) > 1
            case b"Hubbub-Request":
                head.request_id = value.decode("utf-8", "replace")
            case b"Hubbub-User":
                head.user_id = value.decode("utf-8", "replace")
            case b"Hubbub-Origin":
                head.origin = value.decode("utf-8", "replace")
            case b"traceparent":
                head.trace_parent = value.decode("utf-8", "replace")
            case b"tracestate":
                head.trace_state = value.decode("utf-8", "replace")
            case _:
                pass
    if len(lines) == 2 and head.caller and head.patience_ms and len(_callers) < _CALLERS_KNOWN:
        _callers[b"\r\n%b\r\n\r\n" % lines[1]] = head.caller
    return head


def event_head(headers: Mapping[str, str] | None) -> CallHead:
    """What the headers of an event say, as nats-py hands them out."""
    if not headers:
        return CallHead()
    return CallHead(
        request_id=headers.get(REQUEST),
        user_id=headers.get(USER),
        origin=headers.get(ORIGIN),
        caller=headers.get(CALLER),
        trace_parent=headers.get(TRACE_PARENT),
        trace_state=headers.get(TRACE_STATE),
    )


def _number(value: bytes, fallback: int) -> int:
    return int(value) if value.isdigit() and len(value) < 19 else fallback
