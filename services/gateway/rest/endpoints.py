"""All families of endpoints. To add one: a module with `routes`, and its name here."""

from __future__ import annotations

from services.gateway.rest.families import (
    accounts,
    avatars,
    channels,
    chat,
    chat_lists,
    chat_marks,
    commands,
    configuration,
    direct,
    discussions,
    emoji,
    files,
    invites,
    login,
    members,
    method_call,
    push,
    rights,
    roles,
    room_lists,
    room_settings,
    rooms,
    second_factor,
    server,
    settings,
    statuses,
    tokens,
    users,
)
from services.gateway.rest.router import Table


def table() -> Table:
    """The table of everything that is offered."""
    families = (
        server,
        login,
        users,
        accounts,
        tokens,
        second_factor,
        avatars,
        statuses,
        channels,
        direct,
        members,
        invites,
        chat,
        chat_marks,
        chat_lists,
        files,
        discussions,
        room_settings,
        rooms,
        room_lists,
        rights,
        roles,
        settings,
        configuration,
        emoji,
        commands,
        push,
        method_call,
    )
    return Table(family.routes for family in families)
