"""What may be seen of a user: by the user, by others, by administrators. Pure.

Everything here picks fields that are allowed; nothing removes fields that are not. A secret in
`services` can therefore never leave by being new.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from hubbub.contracts.workspace import SETTINGS
from hubbub.errors import BadRequest
from services.account.domain import password_hash, verified_address

Document = Mapping[str, Any]

PREFERENCES: dict[str, Any] = {
    "alsoSendThreadToChannel": "default",
    "newRoomNotification": "door",
    "newMessageNotification": "chime",
    "showThreadsInMainChannel": False,
    "useEmojis": True,
    "convertAsciiEmoji": True,
    "saveMobileBandwidth": True,
    "collapseMediaByDefault": False,
    "autoImageLoad": True,
    "emailNotificationMode": "mentions",
    "unreadAlert": True,
    "notificationsSoundVolume": 100,
    "omnichannelTranscriptEmail": False,
    "desktopNotifications": "all",
    "pushNotifications": "all",
    "enableAutoAway": True,
    "desktopNotificationRequireInteraction": False,
    "hideUsernames": False,
    "hideRoles": False,
    "displayAvatars": True,
    "hideFlexTab": False,
    "sendOnEnter": "normal",
    "idleTimeLimit": 300,
    "sidebarShowFavorites": True,
    "sidebarShowUnread": False,
    "themeAppearence": "auto",
    "sidebarSortby": "activity",
    "sidebarViewMode": "medium",
    "sidebarDisplayAvatar": True,
    "sidebarGroupByType": True,
    "sidebarSectionsOrder": [],
    "muteFocusedConversations": True,
    "notifyCalendarEvents": False,
    "enableMobileRinging": True,
    "featuresPreview": [],
}
"""What a user who chose nothing has. Spelt as clients spell it."""

_WITHOUT_DEFAULT: dict[str, Any] = {
    "clockMode": 0,
    "desktopNotificationDuration": 0,
    "dontAskAgainList": [],
    "enableMessageParserEarlyAdoption": True,
    "fontSize": "",
    "hideRoles": False,
    "highlights": [],
    "masterVolume": 100,
    "mentionsWithSymbol": False,
    "messageViewMode": 0,
    "newMessageNotificationVolume": 100,
    "receiveLoginDetectionEmail": True,
    "roomCounterSidebar": True,
    "sidebarHideAvatar": False,
    "voipRingerVolume": 100,
}
"""Further preferences that clients set: what they look like."""

_ALLOWED = {**_WITHOUT_DEFAULT, **PREFERENCES}
_LISTS_OF = {
    "sidebarSectionsOrder": str,
    "featuresPreview": dict,
    "dontAskAgainList": dict,
    "highlights": str,
}
_DEFAULT_OF = "Accounts_Default_User_Preferences_"

WORKSPACE_DEFAULTS = {
    key: f"{_DEFAULT_OF}{key}" for key in PREFERENCES if f"{_DEFAULT_OF}{key}" in SETTINGS
}
"""Preference → the setting with the workspace's default."""

SEEN_BY_OTHERS = (
    "_id username name nickname type active status statusText utcOffset avatarETag bio customFields"
).split()
SEEN_BY_ADMINISTRATORS = [
    *SEEN_BY_OTHERS,
    *(
        "emails roles lastLogin createdAt _updatedAt statusConnection statusDefault language"
        " avatarOrigin requirePasswordChange requirePasswordChangeReason reason"
    ).split(),
]
SEEN_BY_ONESELF = (
    "_id name username nickname emails status statusConnection statusDefault statusText bio"
    " avatarOrigin avatarETag utcOffset language roles active type customFields"
    " requirePasswordChange requirePasswordChangeReason createdAt lastLogin _updatedAt"
).split()
LISTED = (
    "_id username name nickname status statusText active roles type avatarETag utcOffset".split()
)
LISTED_IN_FULL = [*LISTED, "emails", "lastLogin", "createdAt"]
KEPT_BY_CLIENTS = ("username", "name", "emails")
"""What a socket learns of its own user when it signs in."""

READ_FOR_ONESELF = [
    *SEEN_BY_ONESELF,
    "settings",
    "services.password",
    "services.totp.enabled",
    "services.email2fa.enabled",
]
"""Fields that `me` needs; the secrets among them only to say whether they exist."""


def picked(user: Document, fields: list[str] | tuple[str, ...]) -> dict[str, Any]:
    """The present ones of `fields`."""
    return {field: user[field] for field in fields if user.get(field) is not None}


def for_others(user: Document, *, full: bool) -> dict[str, Any]:
    """A user as somebody else sees it; `full` for those who may see everything."""
    return picked(user, SEEN_BY_ADMINISTRATORS if full else SEEN_BY_OTHERS) | {
        "canViewAllInfo": full
    }


def for_list(user: Document, *, full: bool) -> dict[str, Any]:
    """A user in a list."""
    shown = picked(user, LISTED_IN_FULL if full else LISTED)
    return shown | {"nameInsensitive": str(shown.get("name", "")).lower()}


def for_oneself(user: Document, *, root_url: str, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """A user as `me` shows it; `defaults` are the workspace's preferences."""
    shown = picked(user, SEEN_BY_ONESELF)
    address = verified_address(user)
    if address is not None:
        shown["email"] = address
    if "username" in shown:
        shown["avatarUrl"] = f"{root_url.rstrip('/')}/avatar/{quote(shown['username'], safe='')}"
    stored = user.get("settings")
    settings = stored if isinstance(stored, Mapping) else {}
    profile = settings.get("profile")
    shown["settings"] = {
        "profile": dict(profile) if isinstance(profile, Mapping) else {},
        "preferences": preferences(user, defaults),
    }
    shown["isOAuthUser"] = False
    shown["services"] = _services(user)
    return shown


def preferences(user: Document, defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The user's preferences, over the workspace's `defaults`."""
    settings = user.get("settings")
    stored = settings.get("preferences") if isinstance(settings, Mapping) else None
    return {**PREFERENCES, **defaults, **(stored if isinstance(stored, Mapping) else {})}


def checked_preferences(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Preferences that somebody wants to set.

    Raises: BadRequest: `invalid-params`: an unknown key, or a value of another type.
    """
    for key, value in changes.items():
        if key == "language":
            is_right = isinstance(value, str) and len(value) <= 16
        elif key not in _ALLOWED:
            raise BadRequest("must NOT have additional properties", code="invalid-params")
        else:
            is_right = _is_like(key, value)
        if not is_right:
            raise BadRequest(f"wrong value for {key}", code="invalid-params")
    return dict(changes)


def _is_like(key: str, value: object) -> bool:
    default = _ALLOWED[key]
    if isinstance(default, list):
        kind = _LISTS_OF[key]
        return (
            isinstance(value, list)
            and len(value) <= 50
            and all(isinstance(item, kind) and len(str(item)) <= 512 for item in value)
        )
    if isinstance(default, str):
        return isinstance(value, str) and len(value) <= 128
    return type(value) is type(default)


def _services(user: Document) -> dict[str, Any]:
    stored = user.get("services")
    services = stored if isinstance(stored, Mapping) else {}
    shown: dict[str, Any] = {"password": {"exists": password_hash(user) is not None}}
    for name in ("totp", "email2fa"):
        factor = services.get(name)
        if isinstance(factor, Mapping) and "enabled" in factor:
            shown[name] = {"enabled": factor["enabled"] is True}
    return shown
