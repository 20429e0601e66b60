"""Roles, permissions and settings: what concerns everybody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from hubbub.contracts import workspace
from hubbub.contracts.event_log import EVERYONE, LOGGED, RightsChanged
from hubbub.contracts.events import PermissionsChanged, RolesChanged, SettingsChanged
from services.stream_hub.domain.change import Change, identifier
from services.stream_hub.domain.event import (
    Decision,
    Known,
    StreamEvent,
    control,
    frame,
    only,
    without,
)

HIDDEN_TYPES_SETTING = "Hide_System_Messages"

_SETTING_FIELDS = frozenset("_id value editor properties enterprise requiredOnWizard".split())
_TYPE = frozenset(("type",))
_SETTING_SHOWN = frozenset(("public", "hidden"))


def decide_role(change: Change, _: Known) -> Decision:
    """A role document changed."""
    if not _news(change):
        return Decision(skipped="no_news")
    decision = Decision([_rights("roles")], [RolesChanged()])
    if change.operation == "delete":
        role: dict[str, Any] = {"type": "removed", "_id": change.id}
    elif change.document is not None:
        role = {"type": "changed", **without(change.document, _TYPE)}
    else:
        return decision
    decision.events.append(frame(LOGGED, "roles", "roles", [role]))
    return decision


def decide_permission(change: Change, _: Known) -> Decision:
    """A permission document changed."""
    if not _news(change):
        return Decision(skipped="no_news")
    decision = Decision([_rights("permissions")], [PermissionsChanged()])
    permission: Mapping[str, Any] | None = change.document
    if change.operation == "delete":
        permission = {"_id": change.id, "roles": []}
    if permission is not None:
        args = [_ACTIONS[change.operation], permission]
        decision.events.append(frame(LOGGED, "notify-logged", "permissions-changed", args))
    return decision


def decide_setting(change: Change, _: Known) -> Decision:
    """A setting changed. Only public ones that are not hidden are shown."""
    setting_id = identifier(change.id)
    if setting_id is None:
        return Decision(skipped="incomplete")
    if not _news(change):
        return Decision(skipped="no_news")
    decision = Decision([_rights("settings")], [SettingsChanged(setting_id=setting_id)])
    args = _shown(change, setting_id)
    if args is None:
        decision.skipped = "unpublished"
    else:
        decision.events.append(frame(EVERYONE, "notify-all", "public-settings-changed", args))
    return decision


_ACTIONS = {"insert": "inserted", "update": "updated", "replace": "updated", "delete": "removed"}


def _shown(change: Change, setting_id: str) -> list[Any] | None:
    """What clients are told of a setting, if anything."""
    document = change.document
    if document is not None and document.get("public") is True and not document.get("hidden"):
        return [_ACTIONS[change.operation], only(document, _SETTING_FIELDS)]
    standard = workspace.SETTINGS.get(setting_id)
    was_public = standard is not None and standard.public
    withdrawn = change.is_update and not _SETTING_SHOWN.isdisjoint(change.touched())
    if (change.operation == "delete" and was_public) or withdrawn:
        return ["removed", {"_id": setting_id}]
    return None


def _rights(what: Literal["roles", "permissions", "settings"]) -> StreamEvent:
    return control(EVERYONE, RightsChanged(what=what))


def _news(change: Change) -> bool:
    return not change.is_update or bool(change.touched() - {"_updatedAt"})
