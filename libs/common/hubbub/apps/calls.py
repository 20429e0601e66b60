"""What handlers of an app are called with, and what they may answer. Standard library only."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from hubbub.apps.documents import Message, Room, User, moment
from hubbub.apps.engine import Engine

_LONGEST_REASON: Final = 500
"""Characters that the author of a refused message is told."""

EPOCH: Final = datetime.fromtimestamp(0, UTC)


@dataclass(frozen=True, slots=True)
class Command:
    """A slash command that somebody typed."""

    name: str
    """Without the slash."""
    params: str
    """What stood behind it, without spaces at the ends."""
    room: Room
    user: User
    thread: str | None
    _engine: Engine = field(repr=False, compare=False)

    @classmethod
    def read(cls, args: Mapping[str, Any], engine: Engine) -> Command:
        """A command from the wire."""
        return cls(
            name=str(args["command"]),
            params=str(args.get("params") or "").strip(),
            room=Room.read(args["room"]),
            user=User.read(args["user"]),
            thread=args.get("thread"),
            _engine=engine,
        )

    async def reply(self, text: str) -> None:
        """Answer so that only whoever typed it sees it. Needs the permission `notify`.

        Raises: Refused.
        """
        args = {"user": self.user.id, "room": self.room.id, "text": text}
        await self._engine.call("notify_user", args)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. May come twice, after a restart of the engine."""

    name: str
    payload: Mapping[str, Any]

    @property
    def message(self) -> Message:
        """Of `message_sent` and `message_updated`. Raises: LookupError: of anything else."""
        return Message.read(self._document("message"))

    @property
    def message_id(self) -> str:
        """Of all events about messages. Raises: LookupError: of anything else."""
        found = self.payload["message"]
        return found if isinstance(found, str) else str(found["_id"])

    @property
    def room(self) -> Room:
        """Of `room_created` and `room_changed`. Raises: LookupError: of anything else."""
        return Room.read(self._document("room"))

    @property
    def room_id(self) -> str:
        """Of all but events about users. Raises: LookupError: of those."""
        found = self.payload.get("room")
        if isinstance(found, str):
            return found
        return self.message.room if found is None else self.room.id

    @property
    def user(self) -> User:
        """Of events about members and users, and who sent a message. Raises: LookupError."""
        if "user" in self.payload:
            return User.read(self._document("user"))
        return self.message.user

    def _document(self, key: str) -> Mapping[str, Any]:
        found: object = self.payload.get(key)
        if isinstance(found, dict):
            return found
        raise LookupError(f"{self.name} has no {key}")


@dataclass(frozen=True, slots=True)
class Job:
    """Something whose time has come. May come twice, after a restart of the engine."""

    id: str
    name: str
    data: Any
    """What was given to `schedule`; None for what comes regularly."""
    due: datetime
    """When it should have come; it comes late when the app was not running."""

    @classmethod
    def read(cls, args: Mapping[str, Any]) -> Job:
        """A job from the wire."""
        return cls(
            id=str(args["id"]),
            name=str(args["name"]),
            data=args.get("data"),
            due=moment(args.get("due")) or EPOCH,
        )


@dataclass(frozen=True, slots=True)
class Planned:
    """A job that is yet to come."""

    id: str
    name: str
    at: datetime | None
    """When it comes next."""
    cron: str | None
    data: Any

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Planned:
        """A planned job from the wire."""
        return cls(
            id=str(document["id"]),
            name=str(document["name"]),
            at=moment(document.get("at")),
            cron=document.get("cron"),
            data=document.get("data"),
        )


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request to one of the app's endpoints. Anybody may have sent it."""

    name: str
    """Of the endpoint."""
    method: str
    path: str
    """Below the app's own address, with the leading slash."""
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes

    @classmethod
    def read(cls, args: Mapping[str, Any]) -> Request:
        """A request from the wire."""
        return cls(
            name=str(args["name"]),
            method=str(args["method"]),
            path=str(args["path"]),
            query=dict(args.get("query") or {}),
            headers={name.lower(): value for name, value in (args.get("headers") or {}).items()},
            body=bytes_of(args.get("body")),
        )

    def json(self) -> Any:
        """The body as JSON. Raises: ValueError: it is none."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Response:
    """An answer over HTTP: of an endpoint, or of a host that was asked with `fetch`."""

    body: bytes | str = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Response:
        """A response from the wire."""
        return cls(
            body=bytes_of(document.get("body")),
            status=int(document["status"]),
            headers={k.lower(): v for k, v in (document.get("headers") or {}).items()},
        )

    @classmethod
    def of(cls, answer: object) -> Response:
        """What a handler returned: a response, nothing, a text, bytes, or data for JSON.

        Raises: TypeError: none of these.
        """
        if isinstance(answer, Response):
            return answer
        if answer is None:
            return cls(status=204)
        if isinstance(answer, str):
            return cls(answer, headers={"content-type": "text/plain; charset=utf-8"})
        if isinstance(answer, bytes):
            return cls(answer, headers={"content-type": "application/octet-stream"})
        return cls(json.dumps(answer), headers={"content-type": "application/json"})

    def write(self) -> dict[str, Any]:
        """For the wire."""
        return {"status": self.status, "headers": dict(self.headers), "body": text_of(self.body)}

    def json(self) -> Any:
        """The body as JSON. Raises: ValueError: it is none."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """The body as text; what is not UTF-8 is replaced."""
        return self.body if isinstance(self.body, str) else self.body.decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What shall become of a message that is about to be sent."""

    kind: Literal["allow", "change", "refuse"]
    text: str | None = None
    attachments: list[dict[str, Any]] | None = None
    reason: str = ""

    def write(self) -> dict[str, Any]:
        """For the wire."""
        if self.kind == "allow":
            return {"verdict": "allow"}
        if self.kind == "refuse":
            return {"verdict": "refuse", "reason": self.reason[:_LONGEST_REASON]}
        changed = {"text": self.text, "attachments": self.attachments}
        return {
            "verdict": "change",
            "message": {key: value for key, value in changed.items() if value is not None},
        }


ALLOW: Final = Verdict("allow")


def change(*, text: str | None = None, attachments: list[dict[str, Any]] | None = None) -> Verdict:
    """Send the message with another text or other attachments. None: as it was."""
    return Verdict("change", text=text, attachments=attachments)


def refuse(reason: str) -> Verdict:
    """Do not send the message; its author is told the reason."""
    return Verdict("refuse", reason=reason)


def bytes_of(body: object) -> bytes:
    """A body from the wire. Raises: ValueError: it is no base64."""
    return base64.b64decode(str(body or ""), validate=True)


def text_of(body: bytes | str) -> str:
    """A body for the wire."""
    raw = body.encode() if isinstance(body, str) else body
    return base64.b64encode(raw).decode("ascii")
