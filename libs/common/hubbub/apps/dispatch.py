"""From a call of the engine to the handler of the app, and back. Standard library only."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from hubbub.apps.app import App
from hubbub.apps.calls import ALLOW, Command, Event, Job, Request, Response, Verdict
from hubbub.apps.documents import Message
from hubbub.apps.engine import Refused
from hubbub.apps.permissions import EVENTS
from hubbub.apps.wire import DEADLINES

_Given = TypeVar("_Given")


class Dispatcher:
    """Calls the handlers of one app."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def answer(self, name: str, args: Mapping[str, Any]) -> Any:
        """Do what the engine asks for, within its deadline.

        A handler that raises is logged with its traceback, for the author; the engine is told
        no more than which exception it was.

        Raises: Refused: with what the engine is to be told instead of an answer.
        """
        do = getattr(self, f"_{name}", None) if name in DEADLINES else None
        if do is None:
            raise Refused("unknown-call", f"there is no {name!r}")
        deadline = asyncio.timeout(DEADLINES[name])
        try:
            async with deadline:
                return await do(args)
        except Undeclared as error:
            raise Refused("not-declared", str(error)) from error
        except asyncio.CancelledError as error:
            if _told_to_end():
                raise
            # Somebody else's: the handler waited for a task of its own that was cancelled.
            self._app.log.exception()
            raise Refused("failed", f"{name}: CancelledError") from error
        except Exception as error:
            if deadline.expired():
                raise Refused("timeout", f"{name} took {DEADLINES[name]:g} s") from error
            self._app.log.exception()
            raise Refused("failed", f"{name}: {type(error).__name__}") from error

    async def _start(self, args: Mapping[str, Any]) -> dict[str, Any]:
        self._app.configure(args["settings"])
        return registered(self._app, args)

    async def _settings(self, args: Mapping[str, Any]) -> None:
        self._app.configure(args["settings"])

    async def _stop(self, args: Mapping[str, Any]) -> None:
        """Nothing to do: whoever holds the process ends it."""

    async def _command(self, args: Mapping[str, Any]) -> None:
        handler = self._app.handlers.commands[args["command"]]
        await _result(handler, Command.read(args, self._app.engine))

    async def _event(self, args: Mapping[str, Any]) -> None:
        """All handlers are called, also behind one that raises; the first exception counts."""
        event = Event(args["name"], args["payload"])
        failed: list[Exception] = []
        for handler in self._app.handlers.events[event.name]:
            try:
                await _result(handler, event)
            except Exception as error:
                if failed:
                    self._app.log.exception()
                failed.append(error)
        if failed:
            raise failed[0]

    async def _job(self, args: Mapping[str, Any]) -> None:
        job = Job.read(args)
        await _result(self._app.handlers.jobs[job.name], job)

    async def _request(self, args: Mapping[str, Any]) -> dict[str, Any]:
        request = Request.read(args)
        found = await _result(self._app.handlers.endpoints[request.name], request)
        return Response.of(found).write()

    async def _hook(self, args: Mapping[str, Any]) -> dict[str, Any]:
        message = Message.read(args["message"])
        verdict = ALLOW
        for handler in self._app.handlers.before_message:
            said = await _result(handler, message)
            if not isinstance(said, Verdict | None):
                raise TypeError("a hook returns None, change(…) or refuse(…)")
            if said is None or said.kind == "allow":
                continue
            if said.kind == "refuse":
                return said.write()
            verdict = _both(verdict, said)
            message = replace(
                message,
                text=message.text if said.text is None else said.text,
                attachments=message.attachments if said.attachments is None else said.attachments,
            )
        return verdict.write()


class Undeclared(Exception):
    """The package registers what its manifest does not declare, or the other way round."""


def registered(app: App, declared: Mapping[str, Any]) -> dict[str, Any]:
    """What an app registered, compared with what `start` says that its manifest declares.

    Raises: Undeclared: they differ; the text has a line for each difference.
    """
    has = app.handlers
    problems = []
    for what, mine, theirs in (
        ("command", has.commands, declared["commands"]),
        ("endpoint", has.endpoints, declared["endpoints"]),
    ):
        surplus, missing = sorted(set(mine) - set(theirs)), sorted(set(theirs) - set(mine))
        problems += [f"the {what} {name!r} is not in the manifest" for name in surplus]
        problems += [f"the manifest's {what} {name!r} has no handler" for name in missing]
    needed = {f"on({event!r})": EVENTS[event] for event in has.events}
    if has.before_message:
        needed["before_message"] = "message.hook"
    if has.jobs:
        needed["every and job"] = "schedule"
    for what, permission in needed.items():
        if permission not in declared["permissions"]:
            problems.append(f"{what} needs the permission {permission!r}")
    if problems:
        raise Undeclared("\n".join(problems))
    return {
        "commands": list(has.commands),
        "events": list(has.events),
        "hooks": ["message_sending"] if has.before_message else [],
        "endpoints": list(has.endpoints),
        "jobs": [{"name": name, "cron": has.crons.get(name)} for name in has.jobs],
    }


def _told_to_end() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _result(handler: Callable[[_Given], object], given: _Given) -> object:
    found = handler(given)
    return await found if inspect.isawaitable(found) else found


def _both(earlier: Verdict, later: Verdict) -> Verdict:
    """One change on top of another."""
    return replace(
        later,
        text=earlier.text if later.text is None else later.text,
        attachments=earlier.attachments if later.attachments is None else later.attachments,
    )
