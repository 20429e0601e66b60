"""How the engine and the process of an app speak: frames of JSON on one socket. Pure.

A frame is four bytes, its length as a big-endian number, then that many bytes of UTF-8 JSON: one
object, in one of four shapes that both sides use:

    {"id": 7, "call": "send_message", "args": {…}}         wants an answer with the same id
    {"id": 7, "ok": value}                                 the answer
    {"id": 7, "error": {"code": "…", "reason": "…"}}       the answer, when it cannot be done
    {"tell": "log", "args": {…}}                           wants none

Ids are chosen by whoever calls and are unique among its calls under way; the two sides count
apart. Anything else is a broken peer, with which there is nothing to talk about.

What goes through it, in both directions:

| engine → app | args | answer |
|---|---|---|
| `start` | see `Manifest.start` | commands, events, hooks, endpoints (names), jobs (name, cron) |
| `command` | command, params, room, user, thread? | null |
| `hook` | name, message | verdict, message?, reason? |
| `event` | name, payload | null |
| `job` | id, name, data, due | null |
| `request` | name, method, path, query, headers, body | status, headers, body |
| `settings` | settings | null |
| `stop` | | null |

| app → engine | args | answer |
|---|---|---|
| `send_message` | room or user, text, attachments?, thread?, alias?, emoji?, id? | message |
| `update_message` | message, text, attachments? | message or null: nothing changed |
| `read_messages` | room, count, before? | list of messages, newest first |
| `create_room` | name, kind, members | room |
| `room` | room | room |
| `user` | user or username | user |
| `notify_user` | user, room, text | null |
| `store_get`, `store_delete` | key | value or null; null |
| `store_set` | key, value | null |
| `store_list` | prefix | list of keys, sorted |
| `schedule` | name, at or cron, data, id? | id |
| `unschedule` | id | null |
| `jobs` | | list of id, name, at, cron, data |
| `fetch` | method, url, headers, body | status, headers, body |
| `log` (told) | level, text | |

Messages, rooms and users travel as clients of DDP see them (`_id`, `rid`, `msg`, `u`, …), dates
everywhere as `{"$date": milliseconds}` since 1970, bodies as base64. In the args of the app's
calls `room` is an id or `#name`, `user` an id (of `send_message`: a username), `members` are
usernames, `kind` is `channel` or `group`, and `message` an id; in those of `command` and in
answers they are documents. Payloads of events: `message_sent` and `message_updated` {message},
`message_deleted` {message: id, room: id}, `room_…` {room}, `member_…` {room: id, user}, `user_…`
{user}. What would be null in args is left out.

Standard library only: the process of an app imports this.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

MAXIMUM: Final = 1 << 20
"""Bytes of JSON in a frame."""

HEADER: Final = 4
"""Bytes that say the length."""

DEADLINES: Final[dict[str, float]] = {
    "start": 10.0,
    "command": 10.0,
    "hook": 0.5,
    "event": 10.0,
    "job": 60.0,
    "request": 10.0,
    "settings": 5.0,
    "stop": 5.0,
}
"""Seconds that the app has for what the engine calls; both sides give up then."""

CALL_DEADLINE: Final = 5.0
"""Seconds that the engine has for what an app calls."""

_LARGEST_ID: Final = 2**53 - 1
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_LONGEST_REASON: Final = 2000  # characters
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


class Broken(Exception):
    """What came is no frame. Nothing that follows can be understood."""


class Unsendable(ValueError):
    """What should be sent does not fit into a frame: too large, or not JSON."""


@dataclass(frozen=True, slots=True)
class Call:
    """Something to be done and answered."""

    id: int
    name: str
    args: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """It was done, and this came of it."""

    id: int
    value: Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """It was not done. `code` is for programs, `reason` for people."""

    id: int
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tell:
    """Something to be known, without an answer."""

    name: str
    args: dict[str, Any]


Frame = Call | Answer | Refusal | Tell


def encode(frame: Frame) -> bytes:
    """A frame as bytes, its length before it.

    Raises: Unsendable: a value that JSON has not, half a surrogate pair, or more than `MAXIMUM`.
    """
    try:
        text = json.dumps(
            _document(frame), ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        body = text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Unsendable(f"not JSON: {error}") from error
    if len(body) > MAXIMUM:
        raise Unsendable(f"{len(body)} bytes, at most {MAXIMUM} are allowed")
    return len(body).to_bytes(HEADER, "big") + body


def decode(body: bytes) -> Frame:
    """The frame that the bytes after a length are.

    Raises: Broken: they are none.
    """
    try:
        document = json.loads(body.decode(), parse_constant=_finite, parse_float=_finite)
        if _SURROGATE.search(body):
            # JSON can spell half a pair; no text of ours may hold one, nor can it be written.
            json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise Broken(f"not JSON: {type(error).__name__}") from error
    if not isinstance(document, dict):
        raise Broken("not an object")
    return _frame(document)


class Decoder:
    """Cuts a stream of bytes into frames. Holds at most one frame that is not whole."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are whole now, oldest first.

        Raises: Broken: of the first that is none; those before it are lost with it.
        """
        self._pending += data
        frames = []
        start = 0
        while len(self._pending) - start >= HEADER:
            length = length_of(bytes(self._pending[start : start + HEADER]))
            end = start + HEADER + length
            if len(self._pending) < end:
                break
            frames.append(decode(bytes(self._pending[start + HEADER : end])))
            start = end
        del self._pending[:start]
        return frames

    @property
    def pending(self) -> int:
        """Bytes of the frame that is not whole: not 0 at the end of a stream means it was cut."""
        return len(self._pending)


def length_of(header: bytes) -> int:
    """How many bytes follow the header.

    Raises: Broken: none, or more than a frame may have.
    """
    length = int.from_bytes(header, "big")
    if not 2 <= length <= MAXIMUM:
        raise Broken(f"a frame of {length} bytes")
    return length


def _document(frame: Frame) -> dict[str, Any]:
    match frame:
        case Call(id=number, name=name, args=args):
            return {"id": number, "call": name, "args": args}
        case Answer(id=number, value=value):
            return {"id": number, "ok": value}
        case Refusal(id=number, code=code, reason=reason):
            return {"id": number, "error": {"code": code, "reason": reason[:_LONGEST_REASON]}}
        case Tell(name=name, args=args):
            return {"tell": name, "args": args}


def _frame(document: dict[str, Any]) -> Frame:
    match document:
        case {"id": number, "call": name, "args": dict(args), **rest} if not rest:
            return Call(_id(number), _name(name), args)
        case {"id": number, "ok": value, **rest} if not rest:
            return Answer(_id(number), value)
        case {
            "id": number,
            "error": {"code": str(code), "reason": str(reason), **more},
            **rest,
        } if not rest and not more and _CODE.fullmatch(code) and len(reason) <= _LONGEST_REASON:
            return Refusal(_id(number), code, reason)
        case {"tell": name, "args": dict(args), **rest} if not rest:
            return Tell(_name(name), args)
    raise Broken("not a call, an answer, an error or a tell")


def _id(number: object) -> int:
    if type(number) is not int or not 1 <= number <= _LARGEST_ID:
        raise Broken("an id that is none")
    return number


def _name(name: object) -> str:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise Broken("a name that is none")
    return name


def _finite(digits: str) -> float:
    """A number that can be written again: no NaN, and not 1e999, which JSON allows."""
    number = float(digits)
    if not isfinite(number):
        raise ValueError(digits)
    return number
