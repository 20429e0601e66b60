"""All families of endpoints. To add one: a module with `routes`, and its name here."""

from __future__ import annotations

from services.gateway.rest.families import (
    accounts,
    apps,
    avatars,
    channels,
    chat,
    chat_lists,
    chat_marks,
    commands,
    configuration,
    direct,
    discussions,
    documentation,
    downloads,
    emoji,
    emoji_changes,
    explaining,
    files,
    hooks,
    integrations,
    invites,
    login,
    members,
    method_call,
    moderation,
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
from services.gateway.rest.router import Routes, Table


def table() -> Table:
    """The table of the API."""
    return Table(_families())


def everything() -> Table:
    """The API, and beside it the files and pictures that browsers load by themselves."""
    return Table([*_families(), apps.pages, avatars.pages, downloads.pages, emoji_changes.pages])


def _families() -> list[Routes]:
    modules = (
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
        moderation,
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
        emoji_changes,
        commands,
        apps,
        push,
        integrations,
        hooks,
        explaining,
        method_call,
    )
    families = [module.routes for module in modules]
    return [*families, documentation.describing(families)]
