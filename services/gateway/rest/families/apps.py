"""`/api/apps/…`: apps, as administrators manage them, and the requests that apps answer."""

from __future__ import annotations

from typing import Any, Final, get_args

import orjson
from aiohttp import web

from hubbub.contracts.apps import (
    CHUNK,
    LONGEST_BODY,
    LONGEST_PACKAGE,
    App,
    AppCommand,
    AppDisabled,
    AppFailed,
    AppSetting,
    AppStatus,
    Chunk,
    EndpointRequest,
    NoSuchEndpoint,
)
from hubbub.errors import NotFound
from services.gateway.rest.answers import Answer, InvalidParams, Refusal, unavailable
from services.gateway.rest.asked import Asked, Word
from services.gateway.rest.call import Call
from services.gateway.rest.router import Result, Routes, Upload
from services.gateway.rest.transport import read_body
from services.gateway.rest.validation import filled

routes = Routes()
pages = Routes()

_MANAGE: Final = "manage-apps"
_PACKAGE: Final = Upload("app", LONGEST_PACKAGE)
_MARKET: Final = frozenset(
    "actionButtons externalComponents marketplace categories featured-apps countries languages"
    " bundles incompatibleModal buildExternalUrl notify-admins app-request".split()
)
"""What clients ask about a marketplace: there is none, and a bare list says so."""
_MOST_LINES: Final = 1000


@routes.get("apps", unversioned=True, permission=_MANAGE)
async def listed(call: Call) -> dict[str, Any]:
    """Every installed app, by name."""
    return await _all(call)


@routes.get("apps/installed", access="optional", unversioned=True)
async def installed(call: Call) -> Answer | dict[str, Any]:
    """Every installed app, by name. A bare empty list for everybody who may not know."""
    if call.caller is None or not await call.may(_MANAGE):
        return Answer([])
    return await _all(call)


@routes.get("apps/actionButtons", access="optional", unversioned=True)
async def action_buttons(call: Call) -> Answer:
    """Buttons of apps: none. A bare list, which clients wait for before they sign in."""
    return Answer([])


class Lines(Asked):
    """How much of a log."""

    count: Word | None = None


@routes.get("apps/*", access="optional", unversioned=True)
async def one(call: Call, asked: Lines) -> Answer | dict[str, Any]:
    """One app; with `/settings`, `/logs` or `/status` behind its id, that of it."""
    app_id, _, part = call.rest.partition("/")
    if app_id in _MARKET:
        return Answer([])
    apps, user_id = call.services.apps, call.user_id
    match part:
        case "":
            return {"app": _shown(await apps.app(user_id, app_id))}
        case "settings":
            found = await apps.app(user_id, app_id)
            return {"settings": {one.name: _setting(one) for one in found.settings}}
        case "status":
            return {"status": (await apps.app(user_id, app_id)).status.value}
        case "logs":
            lines = await apps.logs(user_id, app_id, _count(asked.count))
            return {"logs": [line.model_dump() for line in lines]}
        case _:
            raise NotFound("There is nothing of this name of an app", code="error-not-found")


class Installation(Asked):
    """What is granted and set with a package. Both are JSON texts, since they come in a form."""

    permissions: Word | None = None
    """A list: all that the manifest asks for."""
    settings: Word | None = None
    """An object: values by name."""


@routes.post("apps", unversioned=True, permission=_MANAGE, upload=_PACKAGE)
async def install(call: Call, asked: Installation) -> dict[str, Any]:
    """Install a package, the file `app` of the form, over an older version if there is one."""
    if call.file is None:
        raise Refusal("A form with the file `app` is needed", code="invalid-field")
    granted = _json(asked.permissions, list) or []
    if not all(isinstance(name, str) for name in granted):
        raise InvalidParams("permissions must be a list of names")
    settings = _json(asked.settings, dict) or {}
    apps, data = call.services.apps, bytes(call.file.data)
    package = await apps.begin_package(call.user_id)
    for index, start in enumerate(range(0, len(data), CHUNK)):
        chunk = Chunk(index=index, data=data[start : start + CHUNK])
        await apps.add_to_package(call.user_id, package, chunk)
    app = await apps.install(call.user_id, package, granted, settings)
    return {"app": _shown(app)}


class Change(Asked):
    """What is to be another way."""

    status: Word | None = None
    """With `/status`: `manually_enabled` or `manually_disabled`."""
    settings: list[dict[str, Any]] | None = None
    """With `/settings`: `{"id", "value"}` each."""


@routes.post("apps/*", unversioned=True, permission=_MANAGE)
async def change(call: Call, asked: Change) -> dict[str, Any]:
    """Let an app run or not (`<id>/status`), or change its settings (`<id>/settings`)."""
    app_id, _, part = call.rest.partition("/")
    apps, user_id = call.services.apps, call.user_id
    match part, asked.status:
        case "status", AppStatus.ENABLED.value:
            app = await apps.enable(user_id, app_id)
        case "status", AppStatus.DISABLED.value:
            app = await apps.disable(user_id, app_id)
        case "status", _:
            raise InvalidParams("status must be manually_enabled or manually_disabled")
        case "settings", _:
            app = await apps.update_settings(user_id, app_id, _values(asked.settings))
        case _:
            raise NotFound("There is nothing of this name of an app", code="error-not-found")
    return {"app": _shown(app), "status": app.status.value}


async def remove(call: Call) -> dict[str, Any]:
    """Remove an app with what it keeps; what its user said stays."""
    app = await call.services.apps.app(call.user_id, call.rest)
    await call.services.apps.remove(call.user_id, app.id)
    return {"app": _shown(app)}


routes.add("DELETE", "apps/*", remove, unversioned=True, permission=_MANAGE)


# -- requests that apps answer

_PASSED: Final = frozenset(
    "accept accept-language authorization content-type if-none-match user-agent".split()
)
"""Headers that apps see, beside those of senders' own that begin with `x-`."""
_OURS: Final = ("x-auth-token", "x-user-id", "x-2fa-", "x-forwarded-", "x-real-ip", "x-request-id")
"""Beginnings of headers that are for us, and tell who somebody is here."""
_ANSWERED: Final = frozenset(
    "cache-control content-disposition content-language content-type etag last-modified location"
    " retry-after".split()
)
_SAFE: Final = {
    # What an app answers is shown under our address: it must not act there as a page of ours.
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Server": "Hubbub",
}
_LONGEST_HEADER: Final = 4096
_HEADERS: Final = 50
_METHODS: Final = get_args(EndpointRequest.model_fields["method"].annotation)


async def public(call: Call) -> Result:
    """Let an app answer: `/api/apps/public/<id>/<path>`."""
    app_id, _, path = call.rest.partition("/")
    settings, request = call.door.settings, call.incoming
    body = await read_body(
        request,
        limit=min(settings.max_body_bytes, LONGEST_BODY),
        grace=settings.body_grace,
        min_rate=settings.min_body_rate,
    )
    asked = filled(
        EndpointRequest,
        {
            "method": request.method if request.method in _METHODS else "GET",
            "path": f"/{path}",
            "query": {name: _text(value) for name, value in call.query.values.items()},
            "headers": _headers(request),
            "body": body,
        },
    )
    try:
        answer = await call.services.apps.serve_endpoint(app_id, asked)
    except NoSuchEndpoint as error:
        return Answer({"success": False, "error": error.reason}, status=404)
    except AppDisabled:
        return unavailable()
    except AppFailed as error:
        return Answer({"success": False, "error": error.reason}, status=502)
    kept = {name: value for name, value in answer.headers.items() if name.lower() in _ANSWERED}
    return web.Response(status=answer.status, body=answer.body, headers={**_SAFE, **kept})


for _method in _METHODS:
    pages.add(
        _method,
        "api/apps/public/*",
        public,
        access="anonymous",
        page=True,
        counted_apart=True,
    )


def _headers(request: web.BaseRequest) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        low = name.lower()
        is_passed = low in _PASSED or (low.startswith("x-") and not low.startswith(_OURS))
        if is_passed and len(value) <= _LONGEST_HEADER and len(found) < _HEADERS:
            found[low] = value
    return found


def _text(value: Any) -> str:
    return str(value[0] if isinstance(value, list) else value)


async def _all(call: Call) -> dict[str, Any]:
    apps = await call.services.apps.list_apps(call.user_id)
    return {"apps": [_shown(app) for app in apps]}


def _shown(app: App) -> dict[str, Any]:
    return {
        "id": app.id,
        "name": app.name,
        "version": app.version,
        "description": app.description,
        "status": app.status.value,
        "reason": app.reason,
        "permissions": [{"name": name} for name in app.permissions],
        "hosts": app.hosts,
        "bot": {"_id": app.bot_id, "username": app.bot_username},
        "commands": [_command(command) for command in app.commands],
        "events": app.events,
        "hooks": app.hooks,
        "endpoints": app.endpoints,
        "confinement": app.confinement,
        "restarts": app.restarts,
        "installedAt": app.installed_at,
        "updatedAt": app.updated_at,
    }


def _command(command: AppCommand) -> dict[str, Any]:
    return {**command.view, "permission": command.permission}


def _setting(setting: AppSetting) -> dict[str, Any]:
    return {
        "id": setting.name,
        "type": setting.type,
        "i18nLabel": setting.label,
        "required": setting.required,
        "values": setting.options,
        "value": setting.value,
        "isSet": setting.is_set,
    }


def _values(settings: list[dict[str, Any]] | None) -> dict[str, Any]:
    if not settings:
        raise InvalidParams("settings must be a list of objects with `id` and `value`")
    values = {}
    for setting in settings:
        if not isinstance(setting.get("id"), str):
            raise InvalidParams("settings must be a list of objects with `id` and `value`")
        values[setting["id"]] = setting.get("value")
    return values


def _count(text: str | None) -> int:
    if text is None:
        return 100
    if not text.isdecimal() or not 1 <= int(text[:5]) <= _MOST_LINES:
        raise InvalidParams(f"count must be from 1 to {_MOST_LINES}")
    return int(text)


def _json(text: str | None, kind: type[Any]) -> Any:
    if not text:
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidParams("not JSON") from None
    if not isinstance(value, kind):
        raise InvalidParams(f"must be a JSON {'list' if kind is list else 'object'}")
    return value
