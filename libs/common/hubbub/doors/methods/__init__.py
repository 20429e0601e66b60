"""The methods that clients call by name, through DDP or through REST's `method.call`.

Each is a thin door to one action of a contract. To add one: a row here, an action in the
contract, its implementation in the service. `login`, `logout` and whatever else needs the
socket itself are not here but in the streamer.
"""

from __future__ import annotations

from hubbub.doors.methods import (
    account,
    administration,
    avatars,
    commands,
    marks,
    members,
    messages,
    not_offered,
    room_settings,
    rooms,
    users,
)
from hubbub.doors.table import METHODS, NOTHING, Call, Caller, Method, Nothing, Services

__all__ = ["FAMILIES", "METHODS", "NOTHING", "Call", "Caller", "Method", "Nothing", "Services"]

FAMILIES = (
    messages,
    marks,
    rooms,
    room_settings,
    members,
    commands,
    users,
    account,
    avatars,
    administration,
    not_offered,
)
"""The modules whose rows make up the table. Importing one enters its rows."""
