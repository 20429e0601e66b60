"""What apps may do here: one bridge per app, behind its permissions, as its own user.

Nothing here trusts the app: what it says was checked (`domain.bridge_calls`), and the services
behind judge its user as they judge everybody. Texts pass the same checks as those of people.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from hubbub.apps.cron import WrongCron, next_of
from hubbub.clock import Clock
from hubbub.contracts.account import Account
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.messages import MessageEdit, NewMessage
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.rooms import NewRoom, RoomType
from hubbub.ddp import ejson
from hubbub.errors import (
    BadRequest,
    HubbubError,
    Invalid,
    NotAllowed,
    NotFound,
    Timeout,
    TooLarge,
)
from hubbub.ids import RoomId, UserId, random_id
from services.apps_engine.domain import bridge_calls as calls
from services.apps_engine.egress import Egress, Refused, Unanswered
from services.apps_engine.logbook import Logbook
from services.apps_engine.settings import AppsSettings
from services.apps_engine.store import AppsStore
from services.apps_engine.whisper import Whisper

WITHIN: Final = 5.0
"""Seconds for a call, whatever it takes."""
_FETCH_WITHIN: Final = 9.5
"""Seconds for a request to the outside: other people's servers have to answer, too."""
_LONGEST_REPLY: Final = 600_000
"""Bytes of another server's answer that an app gets."""
_LARGEST: Final = 900_000
"""Bytes of an answer: a frame has 1 MiB at most."""
_ACQUAINTED: Final = 900.0
"""Seconds after a command for which its caller may be answered in the room where it was typed."""
_REMEMBERED: Final = 1_000  # callers
_USER_FIELDS: Final = ("_id", "username", "name", "status", "utcOffset", "roles", "type", "active")
_EARLIEST: Final = 1970
_LATEST: Final = 9999


@dataclass(frozen=True, slots=True)
class Who:
    """An app, as the bridge needs to know it."""

    app_id: str
    bot_id: UserId
    bot_username: str
    permissions: frozenset[str]
    hosts: frozenset[str] = frozenset()

    @property
    def reads_all(self) -> bool:
        """Whether it may read where its user is no member."""
        return "room.read-all" in self.permissions


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every bridge reaches."""

    messaging: Messaging
    account: Account
    authorization: Authorization
    whisper: Whisper
    store: AppsStore
    settings: AppsSettings
    clock: Clock
    logbook: Logbook
    planned: Callable[[], None]
    """To be told that a job was planned."""
    egress: Egress
    sent: Callable[[], None] = lambda: None
    """To be told that a message was accepted."""

    def now(self) -> datetime:
        """The present, in whole milliseconds."""
        return datetime.fromtimestamp(int(self.clock.time() * 1000) / 1000, UTC)


class Bridge:
    """The one door of one app."""

    def __init__(self, who: Who, around: Surroundings) -> None:
        self._who = who
        self._around = around
        self._callers: dict[tuple[str, str], float] = {}  # (user, room) → when a command came
        self._handlers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            "send_message": self._send_message,
            "update_message": self._update_message,
            "read_messages": self._read_messages,
            "create_room": self._create_room,
            "room": self._room,
            "user": self._user,
            "notify_user": self._notify_user,
            "store_get": self._store_get,
            "store_set": self._store_set,
            "store_delete": self._store_delete,
            "store_list": self._store_list,
            "schedule": self._schedule,
            "unschedule": self._unschedule,
            "jobs": self._jobs,
            "fetch": self._fetch,
        }

    def invoked(self, user_id: str, room_id: str) -> None:
        """Somebody typed a command of the app in a room: there it may answer them alone."""
        now = self._around.clock.monotonic()
        self._callers.pop((user_id, room_id), None)
        self._callers[user_id, room_id] = now
        while len(self._callers) > _REMEMBERED:
            del self._callers[next(iter(self._callers))]

    async def call(self, name: str, args: Mapping[str, Any]) -> Any:
        """Do what the app asks for; the answer, as JSON has it.

        Raises: HubbubError: it may not, it is not to be had, or not in time; its code is one
            that frames may carry.
        """
        try:
            return await self._call(name, args)
        except HubbubError as error:
            error.code, error.reason = calls.refusal(error)
            raise

    def tell(self, name: str, args: Mapping[str, Any]) -> None:
        """The app says something. Only `log` means anything."""
        if name == "log":
            try:
                said = calls.checked(calls.LogText, args)
            except Invalid:
                return
            self._around.logbook.write(self._who.app_id, said.level, said.text)

    def printed(self, line: str, *, is_error: bool) -> None:
        """The app wrote a line to its output."""
        self._around.logbook.write(self._who.app_id, "warning" if is_error else "info", line)

    async def _call(self, name: str, args: Mapping[str, Any]) -> Any:
        known = calls.CALLS.get(name)
        if known is None:
            raise NotFound(f"there is no call {name!r}", code="error-unknown-call")
        permission, model = known
        if permission not in self._who.permissions:
            raise NotAllowed(
                f"the app has no permission {permission!r}", code="error-permission-not-granted"
            )
        said = calls.checked(model, args)
        try:
            async with asyncio.timeout(_FETCH_WITHIN if name == "fetch" else WITHIN):
                return _bounded(await self._handlers[name](said))
        except TimeoutError:
            raise Timeout("not done in time; whether it happened is unknown") from None

    # -- messages

    async def _send_message(self, said: calls.SendMessage) -> Any:
        messaging, bot = self._around.messaging, self._who.bot_id
        if said.user is not None:
            username = said.user.removeprefix("@")
            room = await messaging.create_direct(bot, [username])
            room_id, kind = str(room["_id"]), "d"
        else:
            room_id, kind = await self._place(said.room or "")
        message = NewMessage(
            id=said.id or random_id(),
            room_id=room_id,
            text=said.text,
            attachments=said.attachments,
            thread_id=said.thread,
            alias=said.alias,
            emoji=said.emoji,
            bot={"i": self._who.app_id},
        )
        if kind == RoomType.CHANNEL and not await self._is_member(room_id):
            # In a public room anybody may join and speak; an app joins when it has to say
            # something.
            await messaging.join_room(bot, RoomId(room_id))
        stored = await messaging.send_message(bot, message)
        self._around.sent()
        return ejson.encode(stored)

    async def _update_message(self, said: calls.UpdateMessage) -> Any:
        changes: dict[str, Any] = {"_id": said.message}
        if said.text is not None:
            changes["msg"] = said.text
        if said.attachments is not None:
            changes["attachments"] = said.attachments
        edit = MessageEdit.model_validate(changes)
        changed = await self._around.messaging.update_message(self._who.bot_id, edit)
        return None if changed is None else ejson.encode(changed)

    async def _read_messages(self, said: calls.ReadMessages) -> Any:
        room_id, _ = await self._place(said.room)
        if not self._who.reads_all and not await self._is_member(room_id):
            raise _not_a_member(self._who)
        history = await self._around.messaging.history(
            self._who.bot_id,
            RoomId(room_id),
            latest=None if said.before is None else _date(said.before),
            count=said.count,
        )
        # Newest first: what does not fit into the answer is what is oldest.
        answer: list[Any] = []
        size = 0
        for message in history.messages:
            shown = ejson.encode(message)
            size += len(orjson.dumps(shown))
            if size > _LARGEST:
                break
            answer.append(shown)
        return answer

    async def _notify_user(self, said: calls.NotifyUser) -> None:
        around = self._around
        if not self._is_acquainted(said.user, said.room):
            room_id, _ = await self._place(said.room)
            if not await self._is_member(room_id):
                raise _not_a_member(self._who)
            may = around.authorization.can_access_room_id
            if not await may(RoomId(room_id), UserId(said.user)):
                raise NotFound("Nobody of this id is in the room", code="error-invalid-user")
        else:
            room_id = said.room
        by = {"_id": self._who.bot_id, "username": self._who.bot_username}
        await around.whisper.tell(said.user, room_id, said.text, by=by, now=around.now())

    # -- rooms and people

    async def _create_room(self, said: calls.CreateRoom) -> Any:
        messaging, bot = self._around.messaging, self._who.bot_id
        if said.kind == "direct":
            if not said.members:
                raise Invalid("members: a direct room needs somebody else")
            return ejson.encode(await messaging.create_direct(bot, said.members))
        room = NewRoom(
            type="c" if said.kind == "channel" else "p", name=said.name, members=said.members
        )
        return ejson.encode(await messaging.create_room(bot, room))

    async def _room(self, said: calls.OfRoom) -> Any:
        room_id, _ = await self._place(said.room)
        room = await self._around.messaging.get_room(self._who.bot_id, room_id=room_id)
        return ejson.encode({key: value for key, value in room.items() if key != "lastMessage"})

    async def _user(self, said: calls.OfUser) -> Any:
        return await self.person(user_id=said.user, username=said.username)

    async def person(self, user_id: str | None = None, username: str | None = None) -> Any:
        """Somebody, as the app may see them. Raises: UserNotFound."""
        found = await self._around.account.user_info(
            self._who.bot_id,
            user_id=user_id,
            username=None if username is None else username.removeprefix("@"),
        )
        return ejson.encode({name: found[name] for name in _USER_FIELDS if name in found})

    # -- what it keeps

    async def _store_get(self, said: calls.OfKey) -> Any:
        text = await self._around.store.data.get(self._who.app_id, said.key)
        return None if text is None else orjson.loads(text)

    async def _store_set(self, said: calls.StoreSet) -> None:
        text = _text_of(said.value)
        limit = self._around.settings.store_keys
        if not await self._around.store.data.set(self._who.app_id, said.key, text, limit=limit):
            raise TooLarge(f"an app keeps {limit} values at most", code="error-store-full")

    async def _store_delete(self, said: calls.OfKey) -> None:
        await self._around.store.data.delete(self._who.app_id, said.key)

    async def _store_list(self, said: calls.StoreList) -> list[str]:
        return await self._around.store.data.keys(self._who.app_id, said.prefix)

    # -- jobs

    async def _schedule(self, said: calls.Schedule) -> str:
        data = _text_of(said.data)
        job: dict[str, Any] = {"name": said.name, "data": data}
        if said.cron is not None:
            job |= {"cron": said.cron, "due": next_run(said.cron, self._around.now())}
        else:
            job |= {"due": _date(said.at or {})}
        job_id, limit = said.id or random_id(), self._around.settings.jobs
        if not await self._around.store.jobs.save(self._who.app_id, job_id, job, limit=limit):
            raise TooLarge(f"an app plans {limit} jobs at most", code="error-too-many-jobs")
        self._around.planned()
        return job_id

    async def _unschedule(self, said: calls.Unschedule) -> None:
        await self._around.store.jobs.remove(self._who.app_id, said.id)

    async def _jobs(self, _: calls.Nothing) -> list[dict[str, Any]]:
        return [
            {
                "id": job["id"],
                "name": job["name"],
                "at": ejson.encode(job["due"]),
                "cron": job.get("cron"),
                "data": orjson.loads(job["data"]),
            }
            for job in await self._around.store.jobs.of_app(self._who.app_id)
        ]

    # -- outside

    async def _fetch(self, said: calls.Fetch) -> Any:
        try:
            reply = await self._around.egress.fetch(
                said.method,
                said.url,
                headers=said.headers,
                body=base64.b64decode(said.body, validate=True) if said.body else None,
                within=_FETCH_WITHIN,
                permit=lambda host, port: f"{host}:{port}" in self._who.hosts,
            )
        except binascii.Error:
            raise Invalid("body: not base64") from None
        except Refused as error:
            raise NotAllowed(str(error), code="error-host-not-allowed") from None
        except Unanswered as error:
            raise BadRequest(str(error), code="error-not-answered") from None
        if len(reply.body) > _LONGEST_REPLY:
            raise TooLarge("the answer of that server is too large")
        return {
            "status": reply.status,
            "headers": dict(reply.headers),
            "body": base64.b64encode(reply.body).decode(),
        }

    # -- who and where

    async def _place(self, room: str) -> tuple[str, str]:
        """The id and the type of a room that the app's user may see."""
        get = self._around.messaging.get_room
        if room.startswith("#"):
            found = await get(self._who.bot_id, name=room.removeprefix("#"))
        else:
            found = await get(self._who.bot_id, room_id=room)
        return str(found["_id"]), str(found.get("t"))

    async def _is_member(self, room_id: str) -> bool:
        membership = await self._around.messaging.subscription_of(self._who.bot_id, RoomId(room_id))
        return membership is not None

    def _is_acquainted(self, user_id: str, room_id: str) -> bool:
        came = self._callers.get((user_id, room_id))
        return came is not None and self._around.clock.monotonic() - came < _ACQUAINTED


def next_run(cron: str, now: datetime) -> datetime:
    """When a repeated job is due next. Raises: BadRequest."""
    try:
        return next_of(cron, now)
    except WrongCron as error:
        raise BadRequest(str(error), code="error-invalid-cron") from None


def _not_a_member(who: Who) -> NotAllowed:
    return NotAllowed(
        f"@{who.bot_username} is not in this room; invite it", code="error-not-in-room"
    )


def _date(said: Mapping[str, int]) -> datetime:
    """Raises: BadRequest: not the date of a year that anything here knows."""
    try:
        moment = datetime.fromtimestamp(said["$date"] / 1000, UTC)
    except (KeyError, OverflowError, ValueError, OSError):
        raise BadRequest("not a date", code="error-invalid-date") from None
    if not _EARLIEST <= moment.year < _LATEST:
        raise BadRequest("not a date", code="error-invalid-date")
    return moment


def _text_of(value: Any) -> str:
    text = orjson.dumps(value)
    if len(text) > calls.LONGEST_VALUE:
        raise TooLarge(f"a value has {calls.LONGEST_VALUE} bytes at most")
    return text.decode()


def _bounded(answer: Any) -> Any:
    if len(orjson.dumps(answer)) > _LARGEST:
        raise TooLarge("the answer is too large")
    return answer
