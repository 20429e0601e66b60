"""Errors that may cross a service boundary.

HubbubError                  500
├── BadRequest               400  the caller broke the contract; retrying cannot help
├── Unauthenticated          401  nobody knows who is calling
├── NotAllowed               403  the caller is known but may not
│   └── LacksPermission           … by a permission of the workspace
├── NotFound                 404
├── Conflict                 409  the state of the thing does not permit it
├── TooLarge                 413
├── Invalid                  422  arguments fail validation; `details["fields"]` lists them
├── RateLimited              429  `details["timeToReset"]` says when to come back (ms)
├── Internal                 500  a defect; only an id crosses the wire, the log has the rest
├── Unavailable              503  nobody could answer; retrying may help
└── Timeout                  504  nobody answered in time; the outcome is unknown

Each error carries the code that clients know (`error-room-not-found`, 403, …), an English
reason and details. Doors turn it into their protocol's shape in one place each: DDP error
objects, REST bodies, RPC replies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

ErrorCode = str | int


class HubbubError(Exception):
    """Base of every error that a caller in another process may see."""

    default_code: ClassVar[ErrorCode] = "internal-error"
    status: ClassVar[int] = 500
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        reason: str = "",
        *,
        code: ErrorCode | None = None,
        details: Mapping[str, Any] | None = None,
        error_id: str | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code: ErrorCode = type(self).default_code if code is None else code
        self.details: dict[str, Any] = dict(details or {})
        self.error_id = error_id

    @property
    def message(self) -> str:
        """The text form that clients know: `reason [code]`, or `[code]` without a reason."""
        return f"{self.reason} [{self.code}]" if self.reason else f"[{self.code}]"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r})"


class BadRequest(HubbubError):
    default_code: ClassVar[ErrorCode] = "error-invalid-params"
    status = 400


class Unauthenticated(HubbubError):
    default_code: ClassVar[ErrorCode] = "error-invalid-user"
    status = 401


class NotAllowed(HubbubError):
    default_code: ClassVar[ErrorCode] = "error-not-allowed"
    status = 403


class LacksPermission(NotAllowed):
    """The caller does not hold a permission that the call needs at all; REST answers 403."""

    default_code: ClassVar[ErrorCode] = "error-unauthorized"

    def __init__(
        self,
        reason: str = "User does not have the permissions required for this action",
        **more: Any,
    ) -> None:
        super().__init__(reason, **more)


class NotFound(HubbubError):
    default_code: ClassVar[ErrorCode] = "error-not-found"
    status = 404


class Conflict(HubbubError):
    default_code: ClassVar[ErrorCode] = "error-conflict"
    status = 409


class TooLarge(HubbubError):
    default_code: ClassVar[ErrorCode] = "error-too-large"
    status = 413


class Invalid(HubbubError):
    """Arguments fail validation. `details["fields"]` is a list of `{"path", "problem"}`."""

    default_code: ClassVar[ErrorCode] = "invalid-params"
    status = 422


class RateLimited(HubbubError):
    default_code: ClassVar[ErrorCode] = "too-many-requests"
    status = 429


class Internal(HubbubError):
    """A defect on the other side; `error_id` is found in its log."""

    default_code: ClassVar[ErrorCode] = "internal-error"
    status = 500


class Unavailable(HubbubError):
    default_code: ClassVar[ErrorCode] = "error-temporarily-unavailable"
    status = 503
    retryable = True


class Timeout(HubbubError):
    default_code: ClassVar[ErrorCode] = "error-timeout"
    status = 504
    retryable = True
