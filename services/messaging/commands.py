"""Slash commands."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast

from hubbub.contracts.commands import Invocation, NoSuchPlace, UnknownCommand
from hubbub.contracts.messages import MessageNotFound, NewMessage
from hubbub.contracts.messaging import Messaging
from hubbub.errors import HubbubError, NotAllowed, NotFound, Unavailable
from hubbub.ids import RoomId, UserId, random_id
from services.messaging.desk import Desk
from services.messaging.domain import commands, records
from services.messaging.domain.commands import COMMANDS, SAYINGS


class Commands:
    """The doors for commands. They call the doors of the actions that they stand for."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def list_commands(self, user_id: UserId) -> list[dict[str, Any]]:
        """See the contract."""
        views = {name: command.view for name, command in COMMANDS.items()}
        offered = self._desk.apps.commands
        needed = {command.permission for command in offered.values() if command.permission}
        held = await self._desk.held(user_id, needed) if needed else frozenset[str]()
        for name, command in offered.items():
            if command.permission is None or command.permission in held:
                views.setdefault(name, command.view)
        return [view for _, view in sorted(views.items())]

    async def run_command(self, user_id: UserId, invocation: Invocation) -> None:
        """See the contract."""
        name = invocation.command.lower()
        if name not in COMMANDS and name not in self._desk.apps.commands:
            raise UnknownCommand("Invalid Command Provided")
        await self._desk.person(user_id)
        room = await self._room_of_command(user_id, invocation)
        # This class is only ever a part of the whole service.
        run = _Run(self._desk, cast(Messaging, self), user_id, room, invocation)
        if name in SAYINGS:
            await run.say(SAYINGS[name](invocation.parameters.strip()))
            return
        try:
            if name in COMMANDS:
                await _HANDLERS[name](run)
            else:
                await self._desk.apps.run_command(user_id, invocation)
        except Unavailable:
            raise
        except HubbubError as refusal:
            await run.tell(refusal.reason or str(refusal.code))
            raise

    async def _room_of_command(self, user_id: UserId, invocation: Invocation) -> Mapping[str, Any]:
        room_id = RoomId(invocation.room_id)
        room = await self._desk.facts.room(room_id)
        may = self._desk.authorization.can_access_room_id
        if room is None or not await may(room_id, user_id):
            raise NoSuchPlace("Not allowed")
        if invocation.thread_id is not None:
            thread = await self._desk.store.messages.one(invocation.thread_id)
            if thread is None or thread.get("_hidden") or thread.get("rid") != room_id:
                raise MessageNotFound("Invalid thread.", code="error-invalid-message")
        return room


@dataclass(frozen=True, slots=True)
class _Run:
    """One command that is being carried out."""

    desk: Desk
    messaging: Messaging
    user_id: UserId
    room: Mapping[str, Any]
    invocation: Invocation

    @property
    def room_id(self) -> RoomId:
        return RoomId(str(self.room["_id"]))

    @property
    def parameters(self) -> str:
        return self.invocation.parameters.strip()

    async def tell(self, text: str) -> None:
        """Answer the caller, and only them."""
        answer = records.refusal(self.room_id, random_id(), text, await self.desk.now())
        if self.invocation.thread_id is not None:
            answer["tmid"] = self.invocation.thread_id
        await self.desk.whisper.tell(self.user_id, "message", answer)

    async def explain(self) -> None:
        """Say how the command is typed."""
        command = COMMANDS[self.invocation.command.lower()]
        await self.tell(f"{command.description}: {command.usage}")

    async def say(self, text: str, room_id: RoomId | None = None) -> None:
        """Send a message in the caller's name, here unless a room is given."""
        if not text:
            return
        message = NewMessage(
            id=self.invocation.message_id or random_id(),
            room_id=room_id or self.room_id,
            text=text,
            thread_id=self.invocation.thread_id if room_id is None else None,
        )
        await self.messaging.send_message(self.user_id, message)

    async def one_name(self) -> str | None:
        """The existing user that the command names; None: there is none, and the caller knows."""
        names = commands.usernames(self.parameters)
        if not names:
            await self.explain()
            return None
        found = (await self.desk.store.users.named(names[:1])).get(names[0])
        if found is None:
            await self.tell(_unknown_user(names[0]))
            return None
        return found.username

    async def other_room(self) -> Mapping[str, Any] | None:
        """The room that the command names, else this one; None: none that the caller may see."""
        name = commands.room_name(self.parameters)
        if not name:
            return self.room
        try:
            if name.startswith("@"):
                room_id = await self.messaging.room_id_of(self.user_id, name.removeprefix("@"))
                return await self.messaging.get_room(self.user_id, room_id=room_id)
            return await self.messaging.get_room(self.user_id, name=name)
        except (NotFound, NotAllowed):
            await self.tell(_unknown_room(name))
            return None


async def _join(run: _Run) -> None:
    name = commands.room_name(run.parameters)
    if not name:
        await run.explain()
        return
    room = await run.desk.store.rooms.by_name(name)
    if room is None or room.get("t") != "c":
        await run.tell(_unknown_room(name))
    elif await run.desk.store.memberships.one(str(room["_id"]), run.user_id) is not None:
        await run.tell(f"You are already in the channel `#{name}`.")
    else:
        await run.messaging.join_room(run.user_id, RoomId(str(room["_id"])))


async def _leave(run: _Run) -> None:
    await run.messaging.leave_room(run.user_id, run.room_id)


async def _invite(run: _Run) -> None:
    names = commands.usernames(run.parameters)
    if not names:
        await run.explain()
        return
    found = await run.desk.store.users.named(names)
    there = await run.desk.store.memberships.users_in(
        run.room_id, [person.user_id for person in found.values()]
    )
    invited: list[str] = []
    for name in names:
        if name not in found:
            await run.tell(_unknown_user(name))
        elif found[name].user_id in there:
            await run.tell(f"`@{name}` is already in here.")
        else:
            invited.append(found[name].username)
    if invited:
        await run.messaging.add_users(run.user_id, run.room_id, invited)


async def _kick(run: _Run) -> None:
    if (name := await run.one_name()) is not None:
        await run.messaging.remove_user(run.user_id, run.room_id, name)


async def _mute(run: _Run) -> None:
    if (name := await run.one_name()) is not None:
        await run.messaging.mute_user(run.user_id, run.room_id, name, muted=True)


async def _unmute(run: _Run) -> None:
    if (name := await run.one_name()) is not None:
        await run.messaging.mute_user(run.user_id, run.room_id, name, muted=False)


async def _topic(run: _Run) -> None:
    await run.messaging.save_room_settings(run.user_id, run.room_id, {"roomTopic": run.parameters})


async def _archive(run: _Run) -> None:
    await _set_archived(run, archived=True)


async def _unarchive(run: _Run) -> None:
    await _set_archived(run, archived=False)


async def _set_archived(run: _Run, *, archived: bool) -> None:
    room = await run.other_room()
    if room is None:
        return
    name, state = room.get("name") or "", "archived" if archived else "unarchived"
    if (room.get("archived") is True) == archived:
        await run.tell(f"Channel with name `#{name}` is already {state}.")
        return
    room_id = RoomId(str(room["_id"]))
    await run.messaging.save_room_settings(run.user_id, room_id, {"archived": archived})
    await run.tell(f"Channel with name `#{name}` has been {state} successfully.")


async def _hide(run: _Run) -> None:
    room = await run.other_room()
    if room is None:
        return
    room_id = RoomId(str(room["_id"]))
    if not await run.messaging.set_room_open(run.user_id, room_id, is_open=False):
        await run.tell(f"You are not in the room `#{room.get('name') or ''}`.")


async def _message(run: _Run) -> None:
    name, text = commands.addressed(run.parameters)
    if not name or not text:
        await run.tell("Username and message must not be empty.")
        return
    found = (await run.desk.store.users.named([name])).get(name)
    if found is None:
        await run.tell(f"The username `{name}` doesn't exist.")
        return
    room = await run.messaging.create_direct(run.user_id, [found.username])
    await run.say(text, RoomId(str(room["_id"])))


async def _status(run: _Run) -> None:
    await run.desk.statuses.set_status(run.user_id, text=run.parameters)
    await run.tell("Status message changed successfully.")


async def _help(run: _Run) -> None:
    offered = run.desk.apps.commands.values()
    lines = [f"`/{one.command} {one.parameters}` – {one.description}" for one in offered]
    await run.tell("\n".join([commands.help_text(), *sorted(lines)]))


def _unknown_user(name: str) -> str:
    return f"No user by the name of `@{name}` exists."


def _unknown_room(name: str) -> str:
    shown = name if name.startswith("@") else f"#{name}"
    return f"No channel with name `{shown}` was found!"


_HANDLERS: Final[Mapping[str, Callable[[_Run], Awaitable[None]]]] = {
    "archive": _archive,
    "help": _help,
    "hide": _hide,
    "invite": _invite,
    "join": _join,
    "kick": _kick,
    "leave": _leave,
    "msg": _message,
    "mute": _mute,
    "part": _leave,
    "status": _status,
    "topic": _topic,
    "unarchive": _unarchive,
    "unmute": _unmute,
}
