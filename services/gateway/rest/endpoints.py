"""All families of endpoints. To add one: a module with `routes`, and its name here."""

from __future__ import annotations

from services.gateway.rest import (
    accounts,
    channels,
    chat,
    configuration,
    direct,
    login,
    method_call,
    rights,
    room_settings,
    rooms,
    server,
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
        statuses,
        channels,
        direct,
        chat,
        room_settings,
        rooms,
        rights,
        configuration,
        method_call,
    )
    return Table(family.routes for family in families)
