"""How an app is stored, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from hubbub.apps.cron import next_of
from hubbub.apps.manifest import Manifest, Setting
from hubbub.contracts.apps import App, AppSetting, AppStatus, InvalidPackage
from hubbub.ids import UserId


def document(
    manifest: Manifest,
    *,
    package: str,
    digest: str,
    settings: Mapping[str, Any],
    bot: Mapping[str, str],
    before: Mapping[str, Any] | None,
    installer: UserId,
    owner: str,
    number: int,
    now: datetime,
) -> dict[str, Any]:
    """An app as it is stored, without its status.

    Args:
        owner: the declaration that it belongs to; empty: as before.
        number: a number that no other app has.
    """
    return {
        "_id": manifest.id,
        "name": manifest.name,
        "version": manifest.version,
        "manifest": manifest.model_dump(mode="json", exclude_defaults=True),
        "package": package,
        "digest": digest,
        "settings": dict(settings),
        "bot": dict(bot),
        "number": number,
        "installedAt": now if before is None else before["installedAt"],
        "installedBy": installer,
        "owner": owner or (before or {}).get("owner") or "",
        "_updatedAt": now,
        "reason": "",
    }


def manifest_of(stored: Mapping[str, Any]) -> Manifest:
    """The manifest of a stored app. Raises: InvalidPackage: of a version with other rules."""
    try:
        return Manifest.model_validate(stored["manifest"])
    except ValidationError:
        raise InvalidPackage("its manifest is not understood; install it again") from None


def settings_after(
    before: Mapping[str, Any] | None, manifest: Manifest, given: Mapping[str, Any]
) -> dict[str, Any]:
    """The values that an app has after some were given; None takes one away.

    Of an older version, those stay that still fit.
    """
    values = {
        name: value
        for name, value in ((before or {}).get("settings") or {}).items()
        if name in manifest.settings and manifest.settings[name].problem(value) is None
    }
    values |= given
    return {name: value for name, value in values.items() if value is not None}


def job(name: str, cron: str, now: datetime) -> dict[str, Any]:
    """A repeated job that an app always has, as it is stored."""
    return {"name": name, "cron": cron, "data": "null", "due": next_of(cron, now)}


def shown(stored: Mapping[str, Any]) -> App:
    """An app as administrators see it: no secret among its settings."""
    app = App(
        id=stored["_id"],
        name=stored["name"],
        version=stored["version"],
        status=AppStatus(stored["status"]),
        reason=stored.get("reason") or "",
        permissions=[],
        bot_id=UserId(stored["bot"]["_id"]),
        bot_username=stored["bot"]["username"],
        installed_at=stored["installedAt"],
        updated_at=stored["_updatedAt"],
    )
    try:
        manifest = manifest_of(stored)
    except InvalidPackage as error:
        return app.model_copy(update={"reason": error.reason})
    values = stored.get("settings") or {}
    return app.model_copy(
        update={
            "description": manifest.description,
            "permissions": manifest.permissions,
            "hosts": manifest.hosts,
            "settings": [_setting(name, one, values) for name, one in manifest.settings.items()],
        }
    )


def _setting(name: str, declared: Setting, values: Mapping[str, Any]) -> AppSetting:
    value = values.get(name, declared.default)
    return AppSetting(
        name=name,
        type=declared.type,
        label=declared.label or name,
        required=declared.required,
        options=declared.options,
        value=None if declared.type == "secret" else value,
        is_set=value not in (None, ""),
    )
