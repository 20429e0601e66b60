"""The workspace settings that messaging's rules depend on, typed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hubbub.contracts.workspace import SETTINGS
from services.messaging.domain.names import DEFAULT_PATTERN


@dataclass(frozen=True, slots=True)
class Rules:
    """Workspace settings; every field falls back to its default when the document is odd."""

    max_length: int = 5000
    """UTF-16 units of a message."""
    threads: bool = True
    store_last_message: bool = True
    unread_count: str = "user_and_group_mentions_only"
    unread_count_direct: str = "all_messages"
    allow_editing: bool = True
    edit_minutes: int = 0
    """Minutes in which a message may be edited; 0: for ever."""
    allow_deleting: bool = True
    delete_minutes: int = 0
    allow_pinning: bool = True
    allow_starring: bool = True
    keep_history: bool = False
    show_deleted: bool = False
    name_pattern: str = DEFAULT_PATTERN
    special_names: bool = False
    direct_members: int = 8
    anonymous_read: bool = False
    hidden_types: tuple[str, ...] = ()


_FIELDS = {
    "max_length": "Message_MaxAllowedSize",
    "threads": "Threads_enabled",
    "store_last_message": "Store_Last_Message",
    "unread_count": "Unread_Count",
    "unread_count_direct": "Unread_Count_DM",
    "allow_editing": "Message_AllowEditing",
    "edit_minutes": "Message_AllowEditing_BlockEditInMinutes",
    "allow_deleting": "Message_AllowDeleting",
    "delete_minutes": "Message_AllowDeleting_BlockDeleteInMinutes",
    "allow_pinning": "Message_AllowPinning",
    "allow_starring": "Message_AllowStarring",
    "keep_history": "Message_KeepHistory",
    "show_deleted": "Message_ShowDeletedStatus",
    "name_pattern": "UTF8_Channel_Names_Validation",
    "special_names": "UI_Allow_room_names_with_special_chars",
    "direct_members": "DirectMesssage_maxUsers",
    "anonymous_read": "Accounts_AllowAnonymousRead",
}


def rules_of(values: Mapping[str, Any]) -> Rules:
    """The rules that stored setting values (id → value) make."""
    fields: dict[str, Any] = {}
    for field, setting_id in _FIELDS.items():
        default = SETTINGS[setting_id].value
        value = values.get(setting_id, default)
        # An administrator's tool may have stored "5000" or null: such a value does not count.
        fields[field] = value if type(value) is type(default) else default
    hidden = values.get("Hide_System_Messages")
    if isinstance(hidden, list):
        fields["hidden_types"] = tuple(item for item in hidden if isinstance(item, str))
    return Rules(**fields)
