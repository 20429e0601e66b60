"""A Hubbub for the unit tests of an app: no server, no process, no waiting.

    from reminders import app

    def test_it_reminds() -> None:
        client = app.test_client()
        client.command("/remind 10m the oven", user="ada", room="general")
        client.advance(minutes=10)
        assert client.sent[-1].text == "@ada the oven"

The app's handlers run as they do in its process, with the same shapes on the way in and out, and
what it may do is judged by its manifest. Each method returns when the handler is done; one that
raises raises here. The clock stands until `advance` moves it.
"""

from __future__ import annotations

import asyncio
import inspect
import json as json_
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from hubbub.apps.app import App
from hubbub.apps.calls import Planned, Response, text_of
from hubbub.apps.dispatch import Dispatcher
from hubbub.apps.documents import Message, date
from hubbub.apps.engine import Refused
from hubbub.apps.fake import FakeHubbub, Line, Notice
from hubbub.apps.manifest import FILE, Manifest, read
from hubbub.apps.permissions import PERMISSIONS
from hubbub.apps.wire import Answer, Call, Decoder, encode

_LEVELS_UP = 3


class Prevented(Exception):
    """A hook of the app refused the message; the text is its reason."""


class TestClient:
    """Does to an app what a chat would do, and shows what the app did.

    Users and rooms are there as soon as they are named.

    Raises: Refused: the app registers other things than its manifest declares; WrongManifest;
    WrongSettings.
    """

    __test__ = False  # for pytest, which takes every Test… for tests

    def __init__(self, app: App, settings: Mapping[str, Any] | None = None) -> None:
        manifest = _manifest_of(app)
        self.hubbub = FakeHubbub(manifest)
        """What the app talks to."""
        self._app = app
        self._dispatcher = Dispatcher(app)
        self._values = dict(settings or {})
        app.engine = self.hubbub
        offers = self._call("start", **_declared(app, manifest, self._values))
        for job in offers["jobs"]:
            if job["cron"]:
                self.hubbub.plan(job["name"], job["cron"])

    # -- what happens to it

    def command(
        self, text: str, *, user: str = "ada", room: str = "general", thread: str | None = None
    ) -> list[str]:
        """Somebody types a command, as `/remind 10m tea`; returns what only they were shown."""
        name, _, params = text.removeprefix("/").partition(" ")
        before = len(self.hubbub.notices)
        self._call(
            "command",
            command=name,
            params=params,
            user=self.hubbub.user(user),
            room=self.hubbub.room(room),
            **({} if thread is None else {"thread": thread}),
        )
        shown = self.hubbub.notices[before:]
        return [notice.text for notice in shown if notice.username == user]

    def message(
        self,
        text: str,
        *,
        user: str = "ada",
        room: str = "general",
        thread: str | None = None,
        attachments: list[dict[str, Any]] | None = None,
    ) -> Message:
        """Somebody says something: the app is asked before it is sent and hears of it afterwards.

        Returns it as it was sent. Raises: Prevented: the app refused it.
        """
        author, place = self.hubbub.user(user), self.hubbub.room(room)
        draft = {"rid": place["_id"], "msg": text, "u": author, "attachments": attachments or []}
        if thread is not None:
            draft["tmid"] = thread
        if self._app.handlers.before_message:
            verdict = self._call("hook", name="message_sending", message=draft)
            if verdict["verdict"] == "refuse":
                raise Prevented(verdict["reason"])
            text = verdict.get("message", {}).get("text", text)
            attachments = verdict.get("message", {}).get("attachments", attachments)
        sent = self.hubbub.say(author, place, text, attachments=attachments, tmid=thread)
        if "message_sent" in self._app.handlers.events:
            self.event("message_sent", message=sent)
        return Message.read(sent)

    def event(self, name: str, /, **payload: Any) -> None:
        """Something else happens, with a payload as `wire` describes it."""
        self._call("event", name=name, payload=payload)

    def request(
        self,
        name: str,
        body: bytes | str = b"",
        *,
        method: str = "POST",
        path: str | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> Response:
        """Somebody asks one of its endpoints over HTTP; returns the answer."""
        manifest = self.hubbub.manifest
        if path is None:
            path = manifest.endpoints[name].path if manifest else f"/{name}"
        found = self._call(
            "request",
            name=name,
            method=method,
            path=path,
            query=dict(query or {}),
            headers={key.lower(): value for key, value in (headers or {}).items()},
            body=text_of(body if json is None else json_.dumps(json)),
        )
        return Response.read(found)

    def advance(self, **duration: float) -> None:
        """Time passes (`minutes=10`, as for timedelta); what becomes due is done on the way."""
        until = self.hubbub.moment + timedelta(**duration)
        while job := self.hubbub.next_job(until):
            due = date(job.at or until)
            self._call("job", id=job.id, name=job.name, data=job.data, due=due)

    def configure(self, **settings: Any) -> None:
        """An administrator changes settings; the others stay. Raises: WrongSettings."""
        self._values.update(settings)
        values = _declared(self._app, self.hubbub.manifest, self._values)["settings"]
        self._call("settings", settings=values)

    # -- what it did

    @property
    def now(self) -> datetime:
        """The present moment of the app."""
        return self.hubbub.moment

    @property
    def sent(self) -> list[Message]:
        """What the app said, oldest first, as it is now."""
        return self.hubbub.sent

    @property
    def notices(self) -> list[Notice]:
        """What it showed to single users, oldest first."""
        return self.hubbub.notices

    @property
    def log(self) -> list[Line]:
        """What it wrote down, oldest first."""
        return self.hubbub.log

    @property
    def stored(self) -> dict[str, Any]:
        """What it keeps."""
        return self.hubbub.stored

    @property
    def planned(self) -> list[Planned]:
        """Jobs that are yet to come."""
        return list(self.hubbub.jobs.values())

    def room_of(self, message: Message) -> str:
        """The name of a message's room; `@ada` for a direct conversation with ada."""
        return next(name for name, room in self.hubbub.rooms.items() if room["_id"] == message.room)

    def _call(self, name: str, /, **args: Any) -> Any:
        """Call the app as the engine does, with what JSON makes of the args and the answer."""
        (asked,) = Decoder().feed(encode(Call(1, name, args)))
        assert isinstance(asked, Call)  # noqa: S101 - what was encoded
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            try:
                value = runner.run(self._dispatcher.answer(name, asked.args))
            except Refused as error:
                if error.code == "failed" and error.__cause__ is not None:
                    # What the handler raised tells its author more.
                    raise error.__cause__ from None
                raise
        (answer,) = Decoder().feed(encode(Answer(1, value)))
        assert isinstance(answer, Answer)  # noqa: S101 - as above
        return answer.value


def _manifest_of(app: App) -> Manifest | None:
    """The manifest beside the package whose handlers the app has; None for an app in a test."""
    for handler in app.handlers.all():
        code = getattr(inspect.unwrap(handler), "__code__", None)
        if code is None:
            continue
        for folder in list(Path(code.co_filename).resolve().parents)[:_LEVELS_UP]:
            if (folder / FILE).exists():
                return read(folder)
    return None


def _declared(app: App, manifest: Manifest | None, values: Mapping[str, Any]) -> dict[str, Any]:
    """The args of `start`."""
    if manifest is not None:
        return manifest.start(manifest.effective(values))
    return {
        "app": "app",
        "version": "0.0.0",
        "permissions": list(PERMISSIONS),
        "commands": list(app.handlers.commands),
        "endpoints": list(app.handlers.endpoints),
        "settings": dict(values),
    }
