"""An app: what its author registers, and what it can do.

    from hubbub.apps import App, Command

    app = App()

    @app.command("hello")
    async def hello(command: Command) -> None:
        await command.reply(f"Hello, {command.user.name}!")

Handlers run beside each other on one event loop, so none may block it: wait with `await`, and
leave long computations out. One that raises is logged with its traceback, and the app goes on.

Standard library only: the process of an app imports this.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from hubbub.apps.calls import Command, Event, Job, Planned, Request, Response, text_of
from hubbub.apps.documents import Message, Room, User, date
from hubbub.apps.engine import Engine, Nowhere
from hubbub.apps.permissions import EVENTS
from hubbub.apps.store import Log, Store

if TYPE_CHECKING:
    from hubbub.apps.testing import TestClient

_OnCommand = TypeVar("_OnCommand", bound=Callable[[Command], object])
_OnEvent = TypeVar("_OnEvent", bound=Callable[[Event], object])
_OnJob = TypeVar("_OnJob", bound=Callable[[Job], object])
_OnRequest = TypeVar("_OnRequest", bound=Callable[[Request], object])
_BeforeMessage = TypeVar("_BeforeMessage", bound=Callable[[Message], object])
_Handler = TypeVar("_Handler", bound=Callable[[Any], object])
_CRON_FIELDS = 5
_JOB = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_PAGE = 100


class Handlers:
    """What an app registered, by name."""

    def __init__(self) -> None:
        self.commands: dict[str, Callable[[Command], object]] = {}
        self.events: dict[str, list[Callable[[Event], object]]] = {}
        self.before_message: list[Callable[[Message], object]] = []
        self.jobs: dict[str, Callable[[Job], object]] = {}
        self.crons: dict[str, str] = {}
        """Job → when it comes by itself."""
        self.endpoints: dict[str, Callable[[Request], object]] = {}

    def all(self) -> list[Callable[..., object]]:
        """Every handler."""
        return [
            *self.commands.values(),
            *(handler for some in self.events.values() for handler in some),
            *self.before_message,
            *self.jobs.values(),
            *self.endpoints.values(),
        ]


class App:
    """One app. Its package has exactly one, under the name `app`.

    All that it does beyond itself needs a permission of its manifest and raises `Refused`
    without it, or when Hubbub refuses: an app may do no more than its bot, which is a user like
    any other. Rooms are named by id or as `#name`.
    """

    def __init__(self) -> None:
        self.handlers = Handlers()
        self.engine: Engine = Nowhere()
        """What the app talks to; the process of the app sets it before any handler runs."""
        self._settings: Mapping[str, Any] = MappingProxyType({})
        self.store = Store(lambda: self.engine)
        """What the app keeps. Needs `store`."""
        self.log = Log(lambda: self.engine)
        """What the app writes down."""

    # -- what it hears

    def command(self, name: str) -> Callable[[_OnCommand], _OnCommand]:
        """Answer a slash command that the manifest declares. Needs `command`."""
        return self._one(self.handlers.commands, name, "command")

    def on(self, event: str) -> Callable[[_OnEvent], _OnEvent]:
        """Hear of something that happened: one of `message_sent`, `message_updated`,
        `message_deleted`, `room_created`, `room_changed`, `member_joined`, `member_left`,
        `user_created`, `user_changed`. Needs `message.read`, `room.read` or `user.read`.

        Raises: ValueError: there is no such event.
        """
        if event not in EVENTS:
            raise ValueError(f"there is no event {event!r}; there are {', '.join(EVENTS)}")

        def register(handler: _OnEvent) -> _OnEvent:
            self.handlers.events.setdefault(event, []).append(handler)
            return handler

        return register

    def before_message(self, handler: _BeforeMessage) -> _BeforeMessage:
        """Be asked about every message before it is sent. Needs `message.hook`.

        The handler returns None to allow it, `change(text=…)` or `refuse("reason")`. It has
        half a second; an answer that comes later counts for nothing and the message is sent.
        With several handlers each sees what the one before made of it.
        """
        self.handlers.before_message.append(handler)
        return handler

    def every(self, cron: str, *, name: str | None = None) -> Callable[[_OnJob], _OnJob]:
        """Do something regularly, as `0 9 * * mon-fri` says (UTC). Needs `schedule`.

        What was due while the app did not run is done once, when it runs again.

        Raises: ValueError: not five fields.
        """
        if len(cron.split()) != _CRON_FIELDS:
            raise ValueError(f"{cron!r} is not minute, hour, day, month and weekday")

        def register(handler: _OnJob) -> _OnJob:
            job = name or handler.__name__
            self.job(job)(handler)
            self.handlers.crons[job] = cron
            return handler

        return register

    def job(self, name: str) -> Callable[[_OnJob], _OnJob]:
        """Do what `schedule` has planned under a name. Needs `schedule`.

        Raises: ValueError: the name is not 1 to 64 letters, digits, dots, dashes and underscores.
        """
        if not _JOB.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a job")
        return self._one(self.handlers.jobs, name, "job")

    def endpoint(self, name: str) -> Callable[[_OnRequest], _OnRequest]:
        """Answer HTTP requests to an endpoint that the manifest declares. Needs `endpoint`.

        The handler returns a `Response`, a text, bytes, data for JSON, or None for 204.
        Anybody on the network can call it: check a signature.
        """
        return self._one(self.handlers.endpoints, name, "endpoint")

    # -- what it knows

    @property
    def settings(self) -> Mapping[str, Any]:
        """The values of the manifest's settings, as they are now; None where there is none."""
        return self._settings

    def now(self) -> datetime:
        """The present moment in UTC; in tests, what the test says it is."""
        told = getattr(self.engine, "now", None)
        return told() if told is not None else datetime.now(UTC)

    # -- what it does

    async def send_message(
        self,
        text: str = "",
        *,
        room: Room | str | None = None,
        user: User | str | None = None,
        attachments: Sequence[Mapping[str, Any]] | None = None,
        thread: str | None = None,
        alias: str | None = None,
        emoji: str | None = None,
        id: str | None = None,  # noqa: A002 - what it is called everywhere
    ) -> Message:
        """Say something as the app's bot, in a room or to a user (by username). Needs
        `message.send`.

        With an `id` of one's own (letters, digits, dashes; 64) the message is sent once, however
        often this is called. Raises: Refused; ValueError: not exactly one of room and user.
        """
        if (room is None) == (user is None):
            raise ValueError("a message goes to a room or to a user")
        args = {
            "room": _id(room),
            "user": user.username if isinstance(user, User) else user,
            "text": text,
            "attachments": attachments,
            "thread": thread,
            "alias": alias,
            "emoji": emoji,
            "id": id,
        }
        return Message.read(await self._call("send_message", args))

    async def update_message(
        self,
        message: Message | str,
        text: str,
        *,
        attachments: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Change a message of the app's bot. Needs `message.update`. Raises: Refused."""
        args = {"message": _id(message), "text": text, "attachments": attachments}
        await self._call("update_message", args)

    async def read_messages(
        self, room: Room | str, *, count: int = 50, before: datetime | None = None
    ) -> list[Message]:
        """The youngest messages of a room, newest first; at most 100. Needs `message.read`.

        Raises: Refused.
        """
        args = {
            "room": _id(room),
            "count": min(count, _PAGE),
            "before": None if before is None else date(before),
        }
        return [Message.read(found) for found in await self._call("read_messages", args)]

    async def create_room(
        self, name: str, *, private: bool = False, members: Sequence[str] = ()
    ) -> Room:
        """Make a room with the app's bot and `members` (usernames) in it. Needs `room.create`.

        Raises: Refused.
        """
        args = {"name": name, "kind": "group" if private else "channel", "members": list(members)}
        return Room.read(await self._call("create_room", args))

    async def room(self, room: str) -> Room:
        """A room by its id or `#name`. Needs `room.read`. Raises: Refused."""
        return Room.read(await self._call("room", {"room": room}))

    async def user(self, user: str) -> User:
        """A user by id or `@username`. Needs `user.read`. Raises: Refused."""
        args = {"username": user[1:]} if user.startswith("@") else {"user": user}
        return User.read(await self._call("user", args))

    async def notify_user(self, user: User | str, room: Room | str, text: str) -> None:
        """Show one user (by id) a text in a room that nobody else sees and nothing keeps. The bot
        is in the room, or the user has just typed a command there. Needs `notify`.

        Raises: Refused.
        """
        await self._call("notify_user", {"user": _id(user), "room": _id(room), "text": text})

    async def schedule(
        self,
        job: str,
        *,
        at: datetime | None = None,
        after: timedelta | None = None,
        cron: str | None = None,
        data: Any = None,
        id: str | None = None,  # noqa: A002 - what it is called everywhere
    ) -> str:
        """Plan a job that `@app.job` does: once, or regularly (UTC). Needs `schedule`.

        Survives restarts. Returns its id; with an `id` of one's own, one that is planned
        already is planned anew instead of twice.

        Raises: Refused; ValueError: not exactly one of at, after and cron, or no such job.
        """
        if sum(given is not None for given in (at, after, cron)) != 1:
            raise ValueError("a job is planned with at, after or cron")
        if job not in self.handlers.jobs:
            raise ValueError(f"nothing does the job {job!r}: @app.job({job!r}) is missing")
        moment = at if after is None else self.now() + after
        args = {
            "name": job,
            "at": None if moment is None else date(moment),
            "cron": cron,
            "data": data,
            "id": id,
        }
        return str(await self._call("schedule", args))

    async def unschedule(self, id: str) -> None:  # noqa: A002 - as above
        """Forget a planned job, if it is there. Needs `schedule`. Raises: Refused."""
        await self._call("unschedule", {"id": id})

    async def jobs(self) -> list[Planned]:
        """All jobs that are yet to come, the next one first. Needs `schedule`. Raises: Refused."""
        return [Planned.read(found) for found in await self._call("jobs", {})]

    async def fetch(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | str = b"",
    ) -> Response:
        """Ask a host that the manifest names, over HTTP. Needs `network`.

        An app has no network of its own; the engine asks for it and follows no redirect.
        Raises: Refused.
        """
        args = {
            "method": method,
            "url": url,
            "headers": dict(headers or {}),
            "body": text_of(body),
        }
        return Response.read(await self._call("fetch", args))

    # -- its tests

    def test_client(self, **settings: Any) -> TestClient:
        """A Hubbub of its own for a test, with values for the settings; see `testing`."""
        # Here, because the process of an app must not load it.
        from hubbub.apps.testing import TestClient

        return TestClient(self, settings)

    # -- for whatever runs it

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Take these values for the settings."""
        self._settings = MappingProxyType(dict(settings))

    async def _call(self, name: str, args: dict[str, Any]) -> Any:
        return await self.engine.call(
            name, {key: value for key, value in args.items() if value is not None}
        )

    def _one(
        self, handlers: dict[str, Any], name: str, what: str
    ) -> Callable[[_Handler], _Handler]:
        def register(handler: _Handler) -> _Handler:
            if name in handlers:
                raise ValueError(f"there are two handlers for the {what} {name!r}")
            handlers[name] = handler
            return handler

        return register


def _id(thing: Message | Room | User | str | None) -> str | None:
    return thing if thing is None or isinstance(thing, str) else thing.id
