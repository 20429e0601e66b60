"""Slash commands."""

from __future__ import annotations

import re

from pydantic import Field, ValidationError

from hubbub.contracts.commands import Invocation
from hubbub.contracts.documents import Identifier, Text
from hubbub.doors.parameters import Parameter
from hubbub.doors.table import NOTHING, Call, Nothing, method
from hubbub.errors import BadRequest

_MESSAGE_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


class CommandMessage(Parameter):
    """The message that the command was typed as."""

    id: Text | None = Field(default=None, alias="_id")
    room_id: Identifier = Field(alias="rid")
    thread_id: Identifier | None = Field(default=None, alias="tmid")


class SlashCommand(Parameter):
    """A command with its parameters, and where it was typed."""

    command: Text = Field(alias="cmd")
    parameters: Text = Field(default="", alias="params")
    message: CommandMessage = Field(alias="msg")
    trigger_id: Text | None = Field(default=None, alias="triggerId")


@method("slashCommand")
async def slash_command(call: Call, typed: SlashCommand) -> Nothing:
    """Carry out a command; its answers are ephemeral messages."""
    message_id = typed.message.id
    if message_id is not None and _MESSAGE_ID.fullmatch(message_id) is None:
        message_id = None  # only makes repeating harmless
    try:
        invocation = Invocation(
            command=typed.command,
            parameters=typed.parameters,
            room_id=typed.message.room_id,
            thread_id=typed.message.thread_id,
            message_id=message_id,
        )
    except ValidationError as error:
        raise BadRequest("Match failed", code=400) from error
    await call.services.messaging.run_command(call.user_id, invocation)
    return NOTHING
