"""How one implementation stands behind several names: `channels.*` and `groups.*`, `im.*` and
`dm.*`.

A read of one room is `async def members(call, room, asked: Members)`: its model says what is
wanted of the room, and the door adds how rooms are named there. One without a model takes
`(call, room)`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast, get_type_hints

from pydantic import create_model

from hubbub.contracts.documents import Document
from services.gateway.rest.answers import Answer
from services.gateway.rest.asked import Asked, DirectSelector, RoomSelector
from services.gateway.rest.call import Call
from services.gateway.rest.router import Handler, Result, Routes
from services.gateway.rest.selectors import CHANNEL, GROUP, RoomKind, direct_of, room_of

Read = Callable[..., Awaitable[Mapping[str, Any]]]
"""Takes the call, the room, and as `asked` what is wanted of it."""

Act = Callable[..., Awaitable[Mapping[str, Any] | Answer | None]]
"""Takes the call, the kind of room, and as `asked` its parameters."""

DIRECT_PREFIXES = ("im", "dm")


def acting(family: Routes, method: str, name: str, *kinds: RoomKind) -> Callable[[Act], Act]:
    """Enter the decorated action into `family`, under the doors of `kinds` (both)."""

    def enter(act: Act) -> Act:
        model = get_type_hints(act).get("asked")
        for kind in kinds or (CHANNEL, GROUP):

            async def handler(call: Call, kind: RoomKind = kind, **given: Any) -> Result:
                return await act(call, kind, **given)

            handler.__doc__ = act.__doc__
            family.add(method, f"{kind.plural}.{name}", handler, asked=model)
        return act

    return enter


def reading(family: Routes, name: str, read: Read) -> None:
    """Enter a read of one room into `family`, as `channels.<name>` and `groups.<name>`."""
    model = get_type_hints(read).get("asked")
    for kind in (CHANNEL, GROUP):

        async def handler(call: Call, asked: RoomSelector, kind: RoomKind = kind) -> Result:
            return await _read(call, await room_of(call, asked, kind), asked)

        handler.__doc__ = read.__doc__
        family.add("GET", f"{kind.plural}.{name}", handler, asked=_joined(RoomSelector, model))

    async def _read(call: Call, room: Document, asked: Asked) -> Result:
        return await (read(call, room) if model is None else read(call, room, asked))


def reading_direct(family: Routes, name: str, read: Read, *, by_username: bool = True) -> None:
    """Enter a read of one direct room into `family`, as `im.<name>` and `dm.<name>`."""
    model = get_type_hints(read).get("asked")

    async def handler(call: Call, asked: DirectSelector) -> Result:
        room = await direct_of(call, asked, by_username=by_username)
        return await (read(call, room) if model is None else read(call, room, asked))

    handler.__doc__ = read.__doc__
    for prefix in DIRECT_PREFIXES:
        family.add("GET", f"{prefix}.{name}", handler, asked=_joined(DirectSelector, model))


def direct(family: Routes, method: str, name: str) -> Callable[[Handler], Handler]:
    """Enter the decorated handler into `family`, as `im.<name>` and `dm.<name>`."""

    def enter(handler: Handler) -> Handler:
        for prefix in DIRECT_PREFIXES:
            family.add(method, f"{prefix}.{name}", handler)
        return handler

    return enter


def _joined(selector: type[Asked], model: type[Asked] | None) -> type[Asked]:
    """A model that names a room by `selector` and says what `model` says."""
    if model is None:
        return selector
    made = create_model(
        f"{selector.__name__}{model.__name__}", __base__=(model, selector), __doc__=model.__doc__
    )
    return cast(type[Asked], made)
