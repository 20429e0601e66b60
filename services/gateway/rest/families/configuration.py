"""Public settings of the workspace, finding people and rooms, and lists that are empty here."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from hubbub.contracts.documents import Document
from services.gateway.rest.asked import Asked, CommaWords, Listed, Word
from services.gateway.rest.call import Call
from services.gateway.rest.paging import (
    Equals,
    OneOf,
    paged,
    parse_conditions,
    parse_fields,
    parse_paging,
)
from services.gateway.rest.router import Routes
from services.gateway.rest.steps import in_steps

routes = Routes()

_SHOWN: Final = ("_id", "value", "enterprise")
_NOBODY: Final = "\ufffd"  # no setting has this id


class PublicSettings(Listed):
    """Which settings; `query` knows `_id`, one or some in `$in`."""

    id_: CommaWords = Field(default=[], alias="_id")
    """All of them when absent."""


@routes.get("settings.public", access="anonymous")
async def public(call: Call, asked: PublicSettings) -> dict[str, Any]:
    """Settings that everybody may see, by id."""
    fields = parse_fields(asked)
    paging = parse_paging(asked, await call.paging_rules(), sortable={"_id"})
    ids = wanted_ids(asked, asked.id_)
    page = await in_steps(
        lambda part: call.services.messaging.list_public_settings(part, ids), paging
    )
    answer = paged("settings", page, paging)
    shown: list[Document] = [
        {key: item[key] for key in _SHOWN if key in item} for item in page.items
    ]
    answer["settings"] = [fields.of(setting) for setting in shown]
    return answer


def wanted_ids(asked: Listed, named: list[str]) -> list[str] | None:
    """The ids that `query` or the list `named` asks for; None: all. Raises: Refusal."""
    match parse_conditions(asked, {"_id": (Equals, OneOf)}).get("_id"):
        case Equals(value=value):
            return [str(value)]
        case OneOf(values=values):
            return [str(value) for value in values] or [_NOBODY]
        case _:
            return named or None


class Spotlight(Asked):
    """What is looked for."""

    query: Word | None = None
    """`@…` finds users, `#…` rooms, anything else both."""


@routes.get("spotlight")
async def spotlight(call: Call, asked: Spotlight) -> dict[str, Any]:
    """Users and rooms whose name begins with a text, then such that hold it."""
    wanted = (asked.query or "").strip()
    text = wanted.removeprefix("@") if wanted.startswith("@") else wanted.removeprefix("#")
    if not text:
        return {"users": [], "rooms": []}
    found = await call.services.messaging.find_users_and_rooms(
        call.user_id,
        text,
        users=not wanted.startswith("#"),
        rooms=not wanted.startswith("@"),
    )
    return {"users": found.get("users", []), "rooms": found.get("rooms", [])}


def _no_items(key: str) -> dict[str, Any]:
    return {key: [], "count": 0, "offset": 0, "total": 0}


_CONSTANT: Final[dict[str, dict[str, Any]]] = {
    "banners": {"banners": []},
    "banners.getNew": {"banners": []},
    "custom-sounds.list": {"sounds": []},
    "e2e.fetchMyKeys": {},
    "licenses.info": {"license": {"activeModules": [], "limits": {}, "tags": []}},
    "licenses.isEnterprise": {"isEnterprise": False},
    "teams.list": _no_items("teams"),
}
_CONSTANT_FOR_ALL: Final[dict[str, dict[str, Any]]] = {
    "service.configurations": {"configurations": []},
    "settings.oauth": {"services": []},
}


def _constant(name: str, body: dict[str, Any], **options: Any) -> None:
    async def handler(call: Call) -> dict[str, Any]:
        return body

    handler.__doc__ = "Always the same: this part of the protocol is not offered."
    routes.add("GET", name, handler, **options)


for _name, _body in _CONSTANT.items():
    _constant(_name, _body)
for _name, _body in _CONSTANT_FOR_ALL.items():
    _constant(_name, _body, access="anonymous")
