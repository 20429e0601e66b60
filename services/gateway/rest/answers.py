"""Answers, and the one place where an error becomes what REST clients know.

Every answer is a JSON text, whatever happened: several clients parse it before they look at the
status.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from hubbub.ddp import ejson
from hubbub.errors import (
    BadRequest,
    HubbubError,
    Internal,
    Invalid,
    LacksPermission,
    RateLimited,
    Timeout,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

JSON_HEADERS: Mapping[str, str] = {
    # Exactly this text: clients compare it, so no charset.
    "Content-Type": "application/json",
    "Cache-Control": "no-store",
    "Pragma": "no-cache",
    "X-Content-Type-Options": "nosniff",
    # An answer is no page: it is neither run nor framed, and leads nowhere.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Server": "Hubbub",
}
"""Headers of every JSON answer."""

_NOT_SIGNED_IN = "You must be logged in to do this."
_NO_ENDPOINT = "API endpoint does not exist."
_WRONG_METHOD = "Method not allowed."
_NO_RIGHT = "User does not have the permissions required for this action"


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer with a JSON body."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    closes: bool = False
    """The connection cannot be used further: part of the request was not read."""

    def encoded(self) -> bytes:
        """The body as JSON; dates as ISO 8601 with milliseconds and `Z`.

        Raises: TypeError: a value that JSON cannot carry.
        """
        return orjson.dumps(ejson.to_iso(self.body), option=orjson.OPT_NON_STR_KEYS)


@dataclass(frozen=True, slots=True)
class Encoded(Answer):
    """An answer whose body is JSON bytes already."""

    def encoded(self) -> bytes:
        """The body as it is."""
        found: bytes = self.body
        return found


class PlainRefusal(HubbubError):
    """A refusal that clients know as a bare sentence, without a code."""

    status = 400

    @property
    def message(self) -> str:
        """The sentence alone."""
        return self.reason


class InvalidParams(Invalid):
    """A parameter is missing, empty or of a wrong type. Nothing has happened yet."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n ".join(problems))


class Forbidden(HubbubError):
    """The caller lacks the permission that an endpoint asks for."""

    default_code = "error-unauthorized"
    status = 403

    def __init__(self) -> None:
        super().__init__(_NO_RIGHT)


class Refusal(HubbubError):
    """A refusal with a code and a sentence, answered with 400."""

    status = 400


class Unsuccessful(HubbubError):
    """A refusal that says nothing but `success: false`."""

    status = 400


def success(body: Mapping[str, Any] | None = None) -> Answer:
    """`body` with the flag that all clients look for."""
    return Answer({**(body or {}), "success": True})


def not_signed_in() -> Answer:
    """401: the token is missing or unknown, and nothing else. Some apps sign out on it."""
    return Answer(_twice(_NOT_SIGNED_IN), status=401)


def no_endpoint() -> Answer:
    """404 for a path that is no endpoint."""
    return Answer(_twice(_NO_ENDPOINT), status=404)


def wrong_method(allowed: Sequence[str]) -> Answer:
    """405 for an endpoint that is not called this way."""
    return Answer(_twice(_WRONG_METHOD), status=405, headers={"Allow": ", ".join(allowed)})


def login_refused(error: HubbubError | None = None) -> Answer:
    """401 of `login`. Without `error`: unknown user and wrong password, byte for byte the same."""
    body: dict[str, Any] = {"success": False, "status": "error"}
    if error is None:
        body |= {"error": "Unauthorized", "message": "Unauthorized"}
    else:
        body |= {"error": str(error.code), "message": error.reason or str(error.code)}
        if error.details:
            body["details"] = error.details
    return Answer(body, status=401)


def refusal(error: HubbubError) -> Answer:
    """`error` as clients know it; nothing internal is told."""
    match error:
        case Unauthenticated():
            return not_signed_in()
        case RateLimited():
            return _too_many(error)
        case Unavailable() | Timeout():
            return unavailable()
        case Unsuccessful():
            return Answer({"success": False}, status=error.status)
        case PlainRefusal():
            return Answer({"success": False, "error": error.reason}, status=error.status)
        case InvalidParams():
            return _coded(error, 400)
        case Invalid():
            return _coded(InvalidParams(*_problems(error)), 400)
        case BadRequest(code=400):
            # What realtime clients know as `Match failed`.
            return _coded(InvalidParams(str(error.details.get("problem", "must be valid"))), 400)
        case Forbidden() | LacksPermission() | TooLarge():
            return _coded(error, error.status)
        case _ if isinstance(error, Internal) or error.status >= 500:
            return failure()
        case _:
            # Whatever the reason, clients of this API know a refusal as 400.
            return _coded(error, 400)


def failure() -> Answer:
    """500: our fault. The request's id is in a header and in the log."""
    return Answer({"success": False, "error": "Internal server error"}, status=500)


def unavailable() -> Answer:
    """503: a service does not answer; the same call may succeed later."""
    return Answer(
        {"success": False, "error": "Service Unavailable"}, 503, headers={"Retry-After": "1"}
    )


def unreadable(status: int, reason: str, code: str) -> Answer:
    """A request that could not be read to its end; the connection closes behind it."""
    return Answer(
        {"success": False, "error": f"{reason} [{code}]", "errorType": code}, status, closes=True
    )


def _twice(text: str) -> dict[str, Any]:
    # Old clients read `status` and `message`, newer ones `success` and `error`.
    return {"success": False, "status": "error", "error": text, "message": text}


def _coded(error: HubbubError, status: int) -> Answer:
    body: dict[str, Any] = {
        "success": False,
        "error": error.message,
        "errorType": str(error.code),
    }
    if error.details:
        body["details"] = error.details
    return Answer(body, status)


def _problems(error: Invalid) -> list[str]:
    fields = error.details.get("fields")
    if not isinstance(fields, list):
        return [error.reason or "Match failed"]
    return [str(entry.get("problem", entry)) for entry in fields if isinstance(entry, dict)]


def _too_many(error: RateLimited) -> Answer:
    wait = error.details.get("timeToReset")
    seconds = math.ceil(wait / 1000) if isinstance(wait, int | float) else 60
    code = "error-too-many-requests"
    text = (
        "Error, too many requests. Please slow down. "
        f"You must wait {seconds} seconds before trying this endpoint again. [{code}]"
    )
    return Answer(
        {"success": False, "error": text, "errorType": code},
        status=429,
        headers={"Retry-After": str(seconds)},
    )
