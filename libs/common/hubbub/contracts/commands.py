"""The part of the messaging contract about slash commands."""

from __future__ import annotations

from typing import Protocol

from pydantic import Field

from hubbub.contracts.base import Contract, action
from hubbub.contracts.documents import Document, Frozen, Identifier, Text
from hubbub.errors import BadRequest, NotAllowed
from hubbub.ids import UserId


class UnknownCommand(BadRequest):
    """No such command, or one that is switched off."""

    default_code = "invalid-command"


class NoSuchPlace(NotAllowed):
    """The caller may not see the room in which the command is to be carried out."""


class Invocation(Frozen):
    """A command as somebody typed it."""

    command: Text = Field(min_length=1, max_length=128)
    """Without the slash; case does not count."""
    parameters: Text = ""
    """What stands behind it."""
    room_id: Identifier
    thread_id: Identifier | None = None
    message_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{1,64}$")
    """The id of what the command says, if it says something: makes repeating it harmless."""


class CommandActions(Contract, Protocol):
    """Commands that people type into a room. `user_id` is who acts."""

    @action(idempotent=True)
    async def list_commands(self, user_id: UserId) -> list[Document]:
        """`{"command", "description", "params", "clientOnly", "providesPreview"}`, by name."""
        ...

    @action(timeout=15.0)
    async def run_command(self, user_id: UserId, invocation: Invocation) -> None:
        """Carry out a command in a room.

        Its answers are ephemeral messages to the caller, and so is the reason when it is
        refused; a refusal is raised as well.

        Raises: UnknownCommand; NoSuchPlace; MessageNotFound: no such
        thread in the room; whatever the action behind the command refuses with.
        """
        ...
