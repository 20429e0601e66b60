"""Roles, permissions and settings: what concerns everybody."""

from __future__ import annotations

import re
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
ERASURE_SETTING = "Message_ErasureType"

_PUBLIC = "public-settings-changed"
_SECRET_WORDS = frozenset("password secret token key private".split())
_SETTING_FIELDS = frozenset("_id value editor properties enterprise requiredOnWizard".split())
_TYPE = frozenset(("type",))
_SETTING_SHOWN = frozenset(("public", "hidden"))


def erasure(value: object) -> str:
    """What a setting's value says becomes of a deleted account's messages."""
    known = workspace.SETTINGS[ERASURE_SETTING]
    return value if type(value) is str and value in known.choices else str(known.value)


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
        decision.events += [
            frame(EVERYONE, "notify-all", _PUBLIC, args),
            # The same for clients that follow one bundle of such news.
            frame(EVERYONE, "notify-all", "public-info", [[_PUBLIC, args]]),
        ]
    private = _shown_to_few(change, setting_id)
    if private is not None:
        decision.events.append(frame(LOGGED, "notify-logged", "private-settings-changed", private))
    return decision


def decide_custom_status(change: Change, _: Known) -> Decision:
    """A status that the workspace offers to everybody changed."""
    status_id = identifier(change.id)
    if status_id is None:
        return Decision(skipped="incomplete")
    if not _news(change):
        return Decision(skipped="no_news")
    gone = change.operation == "delete"
    if not gone and change.document is None:
        return Decision(skipped="gone")
    key = "deleteCustomUserStatus" if gone else "updateCustomUserStatus"
    data = {"_id": status_id} if gone else change.document
    return Decision([frame(LOGGED, "notify-logged", key, [{"userStatusData": data}])])


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


def _shown_to_few(change: Change, setting_id: str) -> list[Any] | None:
    """What those are told who may see settings: every one that is not hidden, but secrets only
    by name, because this is kept in the event log for some minutes."""
    document = change.document
    if change.operation == "delete":
        return ["removed", {"_id": setting_id}]
    if document is None or document.get("hidden"):
        return None
    shown = only(document, _SETTING_FIELDS)
    if _is_secret(document, setting_id):
        shown.pop("value", None)
    return [_ACTIONS[change.operation], shown]


def _is_secret(document: Mapping[str, Any], setting_id: str) -> bool:
    if document.get("type") == "password" or document.get("secret") is True:
        return True
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", setting_id).lower()
    return not _SECRET_WORDS.isdisjoint(re.split(r"[^a-z]+", words))


def _rights(what: Literal["roles", "permissions", "settings"]) -> StreamEvent:
    return control(EVERYONE, RightsChanged(what=what))


def _news(change: Change) -> bool:
    return not change.is_update or bool(change.touched() - {"_updatedAt"})
