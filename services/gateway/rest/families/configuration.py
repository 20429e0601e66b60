"""Settings of the workspace, and lists that are empty here."""

from __future__ import annotations

from typing import Any, Final

from hubbub.contracts.documents import Document
from services.gateway.rest.answers import Answer
from services.gateway.rest.call import Call
from services.gateway.rest.families.rooms import since
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


@routes.get("settings.public", access="anonymous")
async def public(call: Call) -> dict[str, Any]:
    """Settings that everybody may see, by id."""
    fields = parse_fields(call.query)
    paging = parse_paging(call.query, await call.paging_rules(), sortable={"_id"})
    ids = _ids(call)
    page = await in_steps(
        lambda part: call.services.messaging.list_public_settings(part, ids), paging
    )
    answer = paged("settings", page, paging)
    shown: list[Document] = [
        {key: item[key] for key in _SHOWN if key in item} for item in page.items
    ]
    answer["settings"] = [fields.of(setting) for setting in shown]
    return answer


def _ids(call: Call) -> list[str] | None:
    """The wanted ids; None: all of them."""
    match parse_conditions(call.query, {"_id": (Equals, OneOf)}).get("_id"):
        case Equals(value=value):
            return [str(value)]
        case OneOf(values=values):
            return [str(value) for value in values] or [_NOBODY]
        case _:
            return call.query.texts("_id", split=True) or None


@routes.get("spotlight")
async def spotlight(call: Call) -> dict[str, Any]:
    """Users (`@…`) and rooms (`#…`) whose name holds a text, or both."""
    wanted = (call.query.text("query") or "").strip()
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


@routes.get("users.getPreferences")
async def preferences(call: Call) -> dict[str, Any]:
    """The caller's preferences."""
    me = await call.services.account.me(call.user_id)
    return {"preferences": me.get("settings", {}).get("preferences", {})}


@routes.get("emoji-custom.list")
async def emojis(call: Call) -> dict[str, Any]:
    """Custom emoji: none."""
    since(call, named="updatedSince", code="error-roomId-param-invalid")
    return {"emojis": {"update": [], "remove": []}}


@routes.get("apps/actionButtons", access="optional", unversioned=True)
async def action_buttons(call: Call) -> Answer:
    """Buttons of apps: none. A bare list, which clients wait for before they sign in."""
    return Answer([])


@routes.get("commands.list")
async def commands(call: Call) -> dict[str, Any]:
    """Slash commands: none."""
    return {**_no_items("commands"), "appsLoaded": True}


@routes.get("custom-user-status.list")
async def custom_statuses(call: Call) -> dict[str, Any]:
    """Custom statuses: none."""
    return _no_items("statuses")


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
    "pw.getPolicy": {"enabled": False, "policy": []},
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
