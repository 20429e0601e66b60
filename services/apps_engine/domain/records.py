"""How an app is stored, and what is shown of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hubbub.contracts.apps import App, AppSetting, AppStatus
from hubbub.ids import UserId

Settings = Mapping[str, Any]


def shown(document: Mapping[str, Any]) -> App:
    """An app as administrators see it: no secret among its settings."""
    values = document.get("settings") or {}
    return App(
        id=document["_id"],
        name=document["name"],
        version=document["version"],
        description=document.get("description") or "",
        status=AppStatus(document["status"]),
        reason=document.get("reason") or "",
        permissions=document.get("permissions") or [],
        hosts=document.get("hosts") or [],
        bot_id=UserId(document["bot"]["_id"]),
        bot_username=document["bot"]["username"],
        settings=[
            _setting(name, declared, values)
            for name, declared in (document.get("declaredSettings") or {}).items()
        ],
        installed_at=document["installedAt"],
        updated_at=document["_updatedAt"],
    )


def _setting(name: str, declared: Mapping[str, Any], values: Settings) -> AppSetting:
    kind = declared["type"]
    value = values.get(name, declared.get("default"))
    return AppSetting(
        name=name,
        type=kind,
        label=declared.get("label") or name,
        required=bool(declared.get("required")),
        options=declared.get("options") or [],
        value=None if kind == "secret" else value,
        is_set=value not in (None, ""),
    )
