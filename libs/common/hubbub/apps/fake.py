"""A Hubbub in memory, as far as an app can see one: for its tests and for trying it out.

It answers the calls of `wire` as the engine does, permissions of the manifest included, and
remembers what the app did. Everybody may read and write everywhere; time stands still until
it is moved.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from hubbub.apps.calls import Planned, Request, Response, bytes_of
from hubbub.apps.cron import WrongCron, next_of
from hubbub.apps.documents import Message, date, moment
from hubbub.apps.engine import Refused
from hubbub.apps.manifest import Manifest
from hubbub.apps.permissions import CALLS
from hubbub.apps.wire import Answer, Call, Decoder, Unsendable, encode

LONGEST_KEY: Final = 256
LARGEST_VALUE: Final = 64 * 1024

_BEGINNING = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)  # a Tuesday
_LETTERS = {"channel": "c", "group": "p"}
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Notice:
    """A text that one user was shown."""

    username: str
    room: str
    """The room's name."""
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the app's log."""

    level: str
    text: str


@dataclass
class FakeHubbub:
    """The engine, and the chat behind it. Raises `Refused` where the engine would refuse."""

    manifest: Manifest | None = None
    """Without one everything is permitted."""
    moment: datetime = _BEGINNING
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By username."""
    rooms: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By name."""
    messages: list[dict[str, Any]] = field(default_factory=list)
    """Of everybody, oldest first."""
    notices: list[Notice] = field(default_factory=list)
    log: list[Line] = field(default_factory=list)
    stored: dict[str, Any] = field(default_factory=dict)
    jobs: dict[str, Planned] = field(default_factory=dict)
    fetched: list[Request] = field(default_factory=list)
    web: dict[str, Response] = field(default_factory=dict)
    """What there is to `fetch`, by address."""
    _planned: int = 0
    """Jobs ever: their ids never come again."""

    def __post_init__(self) -> None:
        name = self.manifest.id if self.manifest else "app"
        self.bot = self.user(f"{name}.bot")

    # -- the chat

    def user(self, username: str) -> dict[str, Any]:
        """The user of that name, who is made when there is none."""
        made = {"_id": f"{username}-id", "username": username, "name": username.capitalize()}
        return self.users.setdefault(username, made)

    def room(self, name: str, *, kind: str = "c") -> dict[str, Any]:
        """The room of that name, which is made when there is none."""
        return self.rooms.setdefault(name, {"_id": f"{name}-id", "name": name, "t": kind})

    def say(
        self, user: Mapping[str, Any], room: Mapping[str, Any], text: str, **more: Any
    ) -> dict[str, Any]:
        """A message as it is stored."""
        known = [found for found in self.messages if found["_id"] == more.get("_id")]
        if known:
            return known[0]
        message = {
            "_id": f"message-{len(self.messages) + 1}",
            "rid": room["_id"],
            "msg": text,
            "u": {key: user[key] for key in ("_id", "username", "name")},
            "ts": date(self.moment),
            **{key: value for key, value in more.items() if value is not None},
        }
        self.messages.append(message)
        return message

    @property
    def sent(self) -> list[Message]:
        """What the app said, oldest first."""
        own = [found for found in self.messages if found["u"]["_id"] == self.bot["_id"]]
        return [Message.read(found) for found in own]

    # -- the time

    def now(self) -> datetime:
        """The present moment, for `App.now`."""
        return self.moment

    def plan(self, job: str, cron: str) -> None:
        """A job that comes regularly by itself."""
        self._plan(Planned(job, job, _next(cron, self.moment), cron, None))

    def next_job(self, until: datetime) -> Planned | None:
        """Take the job that is due first, not later than `until`; the clock stands there then."""
        due = min(self.jobs.values(), key=lambda job: job.at or until, default=None)
        if due is None or due.at is None or due.at > until:
            self.moment = max(self.moment, until)
            return None
        self.moment = max(self.moment, due.at)
        del self.jobs[due.id]
        if due.cron:
            self.jobs[due.id] = Planned(
                due.id, due.name, _next(due.cron, self.moment), due.cron, due.data
            )
        return due

    # -- the engine

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        """Answer as the engine does. Raises: Refused."""
        self._may(name)
        try:
            (asked,) = Decoder().feed(encode(Call(1, name, args)))
            assert isinstance(asked, Call)  # noqa: S101 - what was encoded
            (answer,) = Decoder().feed(encode(Answer(1, getattr(self, f"_{name}")(**asked.args))))
        except Unsendable as error:
            raise Refused("unsendable", f"{name}: {error}") from error
        assert isinstance(answer, Answer)  # noqa: S101 - as above
        return answer.value

    def tell(self, name: str, args: dict[str, Any]) -> None:
        """Take a line of the log."""
        if name == "log":
            self.log.append(Line(args["level"], args["text"]))

    def _may(self, name: str) -> None:
        permission = CALLS[name]
        if self.manifest is not None and permission not in self.manifest.permissions:
            raise Refused(
                "error-permission-not-granted", f"{name} needs the permission {permission!r}"
            )

    def _send_message(
        self,
        text: str,
        room: str | None = None,
        user: str | None = None,
        attachments: list[dict[str, Any]] | None = None,
        thread: str | None = None,
        alias: str | None = None,
        emoji: str | None = None,
        id: str | None = None,  # noqa: A002 - the wire's name
    ) -> dict[str, Any]:
        if not text and not attachments:
            raise Refused("error-invalid-message", "a message has a text or attachments")
        if room is not None:
            where = self._found_room(room)
        else:
            found = self._found_user(f"@{(user or '').removeprefix('@')}")
            where = self.room(f"@{found['username']}", kind="d")
        return self.say(
            self.bot,
            where,
            text,
            attachments=attachments,
            tmid=thread,
            alias=alias,
            emoji=emoji,
            _id=id,
        )

    def _update_message(
        self, message: str, text: str, attachments: list[dict[str, Any]] | None = None
    ) -> dict[str, Any]:
        for found in self.messages:
            if found["_id"] == message and found["u"]["_id"] == self.bot["_id"]:
                found.update({"msg": text, "editedAt": date(self.moment)})
                if attachments is not None:
                    found["attachments"] = attachments
                return found
        raise Refused("error-message-not-found", "no such message of this app")

    def _read_messages(self, room: str, count: int, before: object = None) -> list[dict[str, Any]]:
        until = moment(before)
        found = [
            message
            for message in self.messages
            if message["rid"] == self._found_room(room)["_id"]
            and (until is None or (moment(message["ts"]) or until) < until)
        ]
        return found[::-1][:count]

    def _create_room(self, name: str, kind: str, members: list[str]) -> dict[str, Any]:
        if name in self.rooms:
            raise Refused("error-duplicate-channel-name", f"there is a room {name!r}")
        for username in members:
            self._found_user(f"@{username}")
        return self.room(name, kind=_LETTERS[kind])

    def _room(self, room: str) -> dict[str, Any]:
        return self._found_room(room)

    def _user(self, user: str = "", username: str = "") -> dict[str, Any]:
        return self._found_user(f"@{username}" if username else user)

    def _notify_user(self, user: str, room: str, text: str) -> None:
        username = self._found_user(user)["username"]
        self.notices.append(Notice(username, self._found_room(room)["name"], text))

    def _store_get(self, key: str) -> Any:
        return self.stored.get(key)

    def _store_set(self, key: str, value: Any) -> None:
        if not 0 < len(key) <= LONGEST_KEY:
            raise Refused("error-too-large", f"a key has 1 to {LONGEST_KEY} characters")
        if len(json.dumps(value, ensure_ascii=False).encode()) > LARGEST_VALUE:
            raise Refused("error-too-large", f"a value has at most {LARGEST_VALUE} bytes")
        self.stored[key] = value

    def _store_delete(self, key: str) -> None:
        self.stored.pop(key, None)

    def _store_list(self, prefix: str) -> list[str]:
        return sorted(key for key in self.stored if key.startswith(prefix))

    def _schedule(
        self,
        name: str,
        at: object = None,
        cron: str | None = None,
        data: Any = None,
        id: str | None = None,  # noqa: A002 - the wire's name
    ) -> str:
        due = moment(at) if cron is None else _next(cron, self.moment)
        self._planned += 1
        return self._plan(Planned(id or f"job-{self._planned}", name, due, cron, data))

    def _unschedule(self, id: str) -> None:  # noqa: A002 - the wire's name
        self.jobs.pop(id, None)

    def _jobs(self) -> list[dict[str, Any]]:
        coming = sorted(self.jobs.values(), key=lambda job: job.at or self.moment)
        return [
            {
                "id": job.id,
                "name": job.name,
                "at": None if job.at is None else date(job.at),
                "cron": job.cron,
                "data": job.data,
            }
            for job in coming
        ]

    def _fetch(self, method: str, url: str, headers: dict[str, str], body: str) -> dict[str, Any]:
        parts = urlsplit(url)
        host = f"{parts.hostname}:{parts.port or _PORTS.get(parts.scheme)}"
        if self.manifest is not None and host not in self.manifest.hosts:
            raise Refused("error-host-not-allowed", f"{host} is not among the manifest's hosts")
        self.fetched.append(Request("", method, url, {}, headers, bytes_of(body)))
        if url not in self.web:
            raise Refused("error-unreachable", f"nothing answers at {url}")
        return self.web[url].write()

    def _plan(self, job: Planned) -> str:
        self.jobs[job.id] = job
        return job.id

    def _found_room(self, room: str) -> dict[str, Any]:
        for name, found in self.rooms.items():
            if room in (found["_id"], f"#{name}"):
                return found
        raise Refused("error-room-not-found", f"no room {room!r}")

    def _found_user(self, user: str) -> dict[str, Any]:
        for name, found in self.users.items():
            if user in (found["_id"], f"@{name}"):
                return found
        raise Refused("error-invalid-user", f"no user {user!r}")


def _next(cron: str, after: datetime) -> datetime:
    """Raises: Refused: as the engine refuses what is no time."""
    try:
        return next_of(cron, after)
    except WrongCron as error:
        raise Refused("error-invalid-cron", str(error)) from None
