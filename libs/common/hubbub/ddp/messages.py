"""DDP messages: small frozen objects for what arrives, ready bytes for what leaves.

`parse` never raises anything but `ProtocolViolation`, whatever the bytes are. Builders return
the JSON text of one message with its keys in the order that clients have always seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

from hubbub.ddp import ejson, limits
from hubbub.errors import BadRequest, HubbubError, Internal

Id = str | int | float
"""The id of a method or subscription, echoed with the type it came with."""

MAX_ID = 256  # characters of an id or an offered session

PROTOCOL_ERROR: Final = "CLOSE_PROTOCOL_ERROR"
UNSUPPORTED_DATA: Final = "UNSUPPORTED_DATA"
MESSAGE_TOO_BIG: Final = "MESSAGE_TOO_BIG"

VERSIONS: Final = ("1", "pre2", "pre1")
"""Versions that clients may propose. All behave alike; `1` is the one that is preferred."""


class ProtocolViolation(Exception):
    """The connection has to be closed with this WebSocket close code and reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code} {reason}")
        self.code = code
        self.reason = reason


# --- what arrives ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connect:
    """The client's greeting. `session`: the id of an earlier session that it offers."""

    version: str
    support: tuple[str, ...]
    session: str | None

    @property
    def accepted(self) -> bool:
        """Whether this version is spoken. One that supports `1` but proposes less is asked to
        come again with `1` (`failed`), as the protocol wants it."""
        return self.version == "1" or (self.version in VERSIONS and "1" not in self.support)


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with `pong`, with the same id if there is one."""

    id: Id | None


@dataclass(frozen=True, slots=True)
class Pong:
    """A sign of life."""

    id: Id | None


@dataclass(frozen=True, slots=True)
class Method:
    """A call. `params` are decoded from EJSON; there may be more than the method knows."""

    id: Id
    name: str
    params: list[Any]


@dataclass(frozen=True, slots=True)
class Sub:
    """A wish to subscribe to the publication `name`."""

    id: Id
    name: str
    params: list[Any]


@dataclass(frozen=True, slots=True)
class Unsub:
    """The end of a subscription."""

    id: Id


@dataclass(frozen=True, slots=True)
class Refused:
    """A method or sub whose params are not acceptable: answer it with `error`, run nothing."""

    kind: Literal["method", "sub"]
    id: Id
    name: str
    error: HubbubError

    def answer(self) -> tuple[bytes, ...]:
        """The messages that answer it."""
        if self.kind == "method":
            return result_error(self.id, self.error), updated(self.id)
        return (nosub(self.id, self.error),)


@dataclass(frozen=True, slots=True)
class Malformed:
    """An object without a `msg` that clients may send. `offending` is its JSON text."""

    offending: bytes


Inbound = Connect | Ping | Pong | Method | Sub | Unsub | Refused | Malformed


def parse(text: bytes | str) -> Inbound:
    """One DDP message of a client.

    Raises:
        ProtocolViolation: 1007: no JSON object, or too deep or wide; 1002: an id or a name that
            an answer would need is missing.
    """
    raw = _utf8(text) if isinstance(text, str) else text
    try:
        message = limits.loads(raw)
    except limits.BadDocument:
        raise ProtocolViolation(1007, UNSUPPORTED_DATA) from None
    if not isinstance(message, dict):
        raise ProtocolViolation(1007, UNSUPPORTED_DATA)
    match message.get("msg"):
        case "method":
            return _call("method", message.get("method"), message, raw)
        case "sub":
            return _call("sub", message.get("name"), message, raw)
        case "ping":
            return Ping(_optional_id(message))
        case "unsub":
            return Unsub(_id(message))
        case "pong":
            return Pong(_optional_id(message))
        case "connect":
            return _connect(message)
        case _:
            return Malformed(raw)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ProtocolViolation(1007, UNSUPPORTED_DATA) from None


def _call(
    kind: Literal["method", "sub"], name: object, message: dict[str, Any], raw: bytes
) -> Method | Sub | Refused:
    call_id = _id(message)
    if not isinstance(name, str) or not name:
        raise ProtocolViolation(1002, PROTOCOL_ERROR)
    params = message.get("params")
    try:
        checked = _params(params, raw)
    except BadRequest as error:
        return Refused(kind, call_id, name, error)
    return Method(call_id, name, checked) if kind == "method" else Sub(call_id, name, checked)


def _params(params: object, raw: bytes) -> list[Any]:
    if params is None:
        return []
    if not isinstance(params, list):
        raise BadRequest("Bad request", code=400)
    limits.check_values(params)
    if b'"$' not in raw and b"\\u0024" not in raw:
        return params  # no key begins with a dollar sign
    try:
        decoded: list[Any] = ejson.decode(params)
    except ejson.EjsonError:
        raise limits.match_failed() from None
    _check_finite(decoded)
    return decoded


def _check_finite(value: Any) -> None:
    """`{"$InfNaN": ...}` is EJSON, but no argument of any method may be infinite."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise limits.match_failed()
    elif isinstance(value, dict):
        for item in value.values():
            _check_finite(item)
    elif isinstance(value, list):
        for item in value:
            _check_finite(item)


def _id(message: dict[str, Any]) -> Id:
    found = _optional_id(message)
    if found is None:
        raise ProtocolViolation(1002, PROTOCOL_ERROR)
    return found


def _optional_id(message: dict[str, Any]) -> Id | None:
    found = message.get("id")
    if isinstance(found, str):
        return found if len(found) <= MAX_ID else None
    if isinstance(found, int | float) and not isinstance(found, bool):
        return found
    return None


def _connect(message: dict[str, Any]) -> Connect:
    version, support = message.get("version"), message.get("support")
    session = message.get("session")
    return Connect(
        version=version if isinstance(version, str) else "",
        support=tuple(item for item in support if isinstance(item, str))
        if isinstance(support, list)
        else (),
        session=session if isinstance(session, str) and len(session) <= MAX_ID else None,
    )


# --- what leaves ----------------------------------------------------------------------------


class Missing:
    """The type of `MISSING`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
"""A method that returns nothing: its `result` message has no key `result`."""

SERVER_ID: Final = b'{"server_id":"0"}'
"""The first message on every connection; some clients compare its text."""

FAILED: Final = b'{"msg":"failed","version":"1"}'
PING: Final = b'{"msg":"ping"}'
_PONG: Final = b'{"msg":"pong"}'


def connected(session: str, extra: Mapping[str, Any] | None = None) -> bytes:
    """The answer to `connect`. `extra` keys announce extensions; clients ignore unknown ones."""
    return ejson.dumps({"msg": "connected", "session": session, **(extra or {})})


def pong(ping_id: Id | None = None) -> bytes:
    """The answer to `ping`."""
    return _PONG if ping_id is None else b'{"msg":"pong","id":' + orjson.dumps(ping_id) + b"}"


def result(call_id: Id, value: Any = MISSING) -> bytes:
    """The result of a method; every value is sent, false ones too.

    Raises:
        EjsonError: the value has no EJSON form.
    """
    head = b'{"msg":"result","id":' + orjson.dumps(call_id)
    if value is MISSING:
        return head + b"}"
    return head + b',"result":' + ejson.dumps(value) + b"}"


def result_error(call_id: Id, error: BaseException) -> bytes:
    """The failure of a method."""
    body = ejson.dumps(error_object(error))
    return b'{"msg":"result","id":' + orjson.dumps(call_id) + b',"error":' + body + b"}"


def updated(call_id: Id) -> bytes:
    """All writes of a method are done; follows its result."""
    return b'{"msg":"updated","methods":[' + orjson.dumps(call_id) + b"]}"


def ready(sub_id: Id, extra: Mapping[str, Any] | None = None) -> bytes:
    """A subscription is live. One id per message: some clients look only at the first.

    `extra` keys are for clients that asked for an extension.
    """
    if extra:
        return ejson.dumps({"msg": "ready", "subs": [sub_id], **extra})
    return b'{"msg":"ready","subs":[' + orjson.dumps(sub_id) + b"]}"


def nosub(sub_id: Id, error: BaseException | None = None) -> bytes:
    """A subscription does not exist, any more or at all."""
    head = b'{"msg":"nosub","id":' + orjson.dumps(sub_id)
    if error is None:
        return head + b"}"
    return head + b',"error":' + ejson.dumps(error_object(error)) + b"}"


def added(collection: str, document_id: str, fields: Mapping[str, Any]) -> bytes:
    """A document appears in a client's collection."""
    return _document(b"added", collection, document_id, fields)


def changed(collection: str, document_id: str, fields: Mapping[str, Any]) -> bytes:
    """Fields of a document have new values."""
    return _document(b"changed", collection, document_id, fields)


def removed(collection: str, document_id: str) -> bytes:
    """A document leaves a client's collection."""
    names = orjson.dumps(collection), orjson.dumps(document_id)
    return b'{"msg":"removed","collection":%b,"id":%b}' % names


def error(reason: str, offending: bytes) -> bytes:
    """A message was not understood. `offending` is its JSON text, given back as it was."""
    return b'{"msg":"error","reason":%b,"offendingMessage":%b}' % (
        orjson.dumps(reason),
        offending.strip(),
    )


def _document(msg: bytes, collection: str, document_id: str, fields: Mapping[str, Any]) -> bytes:
    return b'{"msg":"%b","collection":%b,"id":%b,"fields":%b}' % (
        msg,
        orjson.dumps(collection),
        orjson.dumps(document_id),
        ejson.dumps(fields),
    )


def error_object(failure: BaseException) -> dict[str, Any]:
    """The error as clients know it. What is not meant for them becomes code 500, without detail."""
    if not isinstance(failure, HubbubError) or isinstance(failure, Internal):
        return dict(_INTERNAL)
    shown: dict[str, Any] = {
        "isClientSafe": True,
        "errorType": "Meteor.Error",
        "error": failure.code,
    }
    if failure.reason:
        shown["reason"] = failure.reason
    shown["message"] = failure.message
    if failure.details:
        shown["details"] = failure.details
    return shown


_INTERNAL: Final = {
    "isClientSafe": True,
    "errorType": "Meteor.Error",
    "error": 500,
    "reason": "Internal server error",
    "message": "Internal server error [500]",
}
