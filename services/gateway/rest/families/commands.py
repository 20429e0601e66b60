"""`commands.*`: slash commands."""

from __future__ import annotations

from typing import Any, Final

from hubbub.contracts.commands import Invocation, NoSuchPlace, UnknownCommand
from hubbub.contracts.documents import Document
from hubbub.contracts.messages import MessageNotFound
from hubbub.ids import RoomId
from services.gateway.rest.answers import Forbidden, PlainRefusal
from services.gateway.rest.asked import Asked, Listed, Word
from services.gateway.rest.call import Call
from services.gateway.rest.paging import (
    Equals,
    cut,
    paged,
    parse_conditions,
    parse_fields,
    parse_paging,
    sorted_by,
)
from services.gateway.rest.router import Routes
from services.gateway.rest.validation import filled

routes = Routes()

_NO_COMMAND: Final = "The command provided does not exist (or is disabled)."


@routes.get("commands.list")
async def listed(call: Call, asked: Listed) -> dict[str, Any]:
    """The commands there are, by name."""
    paging = parse_paging(asked, await call.paging_rules(), sortable=("command",))
    conditions = parse_conditions(asked, {"command": (Equals,)})
    fields = parse_fields(asked)
    commands = await call.services.messaging.list_commands(call.user_id)
    wanted = conditions.get("command")
    if isinstance(wanted, Equals):
        commands = [command for command in commands if command["command"] == wanted.value]
    page = cut(sorted_by(commands, paging.sort, "command"), paging)
    answer = paged("commands", page, paging)
    shown = [_narrowed(fields.of(command)) for command in page.items]
    return {**answer, "commands": shown, "appsLoaded": True}


def _narrowed(command: Document) -> Document:
    return {key: value for key, value in command.items() if key != "_id"}


class Named(Asked):
    """A command by name."""

    command: Word | None = None


@routes.get("commands.get")
async def get(call: Call, asked: Named) -> dict[str, Any]:
    """One command."""
    if not asked.command:
        raise PlainRefusal('The query param "command" must be provided.')
    found = await _find(call, asked.command)
    if found is None:
        raise PlainRefusal(
            f"There is no command in the system by the name of: {asked.command[:100]}"
        )
    return {"command": found}


class Run(Asked):
    """A command with its parameters, and where it is to be carried out."""

    command: Word | None = None
    room_id: Word | None = None
    params: Word = ""
    tmid: Word | None = None
    """The first message of the thread to answer in."""
    trigger_id: Word | None = None


@routes.post("commands.run")
async def run(call: Call, asked: Run) -> dict[str, Any]:
    """Carry out a command; its answers are ephemeral messages."""
    if not asked.command:
        raise PlainRefusal("You must provide a command to run.")
    if not asked.room_id:
        raise PlainRefusal("The room's id where to execute this command must be a string.")
    invocation = filled(
        Invocation,
        {
            "command": asked.command,
            "parameters": asked.params,
            "room_id": asked.room_id,
            "thread_id": asked.tmid or None,
        },
    )
    try:
        await call.services.messaging.run_command(call.user_id, invocation)
    except UnknownCommand:
        raise PlainRefusal(_NO_COMMAND) from None
    except NoSuchPlace:
        raise Forbidden from None
    except MessageNotFound:
        raise PlainRefusal("Invalid thread.") from None
    return {"result": {}}


class Preview(Asked):
    """A command that is still being typed."""

    command: Word | None = None
    room_id: Word | None = None
    params: Word = ""


@routes.get("commands.preview")
@routes.post("commands.preview")
async def preview(call: Call, asked: Preview) -> dict[str, Any]:
    """What a command offers to choose from; those that are built in offer nothing."""
    if not asked.command:
        raise PlainRefusal("You must provide a command to get the previews from.")
    if not asked.room_id:
        raise PlainRefusal("The room's id where the previews are being displayed must be a string.")
    if await _find(call, asked.command) is None:
        raise PlainRefusal(_NO_COMMAND)
    access = call.services.authorization.can_access_room_id
    if not await access(RoomId(asked.room_id), call.user_id):
        raise Forbidden
    return {"preview": {"i18nTitle": "", "items": []}}


async def _find(call: Call, name: str) -> Document | None:
    commands = await call.services.messaging.list_commands(call.user_id)
    found = (command for command in commands if command["command"] == name.lower())
    return next(found, None)
