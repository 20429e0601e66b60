"""What a new workspace starts with: settings, roles, permissions. Data only.

The owner of each collection inserts what is missing when it starts and never overwrites.
A reader whose document is missing falls back to the value here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SettingValue = str | int | bool | list[str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One workspace setting. `type` is what clients expect the value to match."""

    id: str
    value: SettingValue
    type: Literal["boolean", "int", "string", "select", "multiSelect"]
    public: bool = True
    group: str = "General"
    choices: tuple[str, ...] = ()
    """What a `select` may be, or a `multiSelect` hold."""
    least: int = 0
    """The smallest number that is allowed."""
    read_only: bool = False
    """It states a fact about the server, or a feature that is not there; nobody changes it."""


def _setting(
    group: str,
    id_: str,
    value: SettingValue,
    *,
    public: bool = True,
    select: str = "",
    least: int = 0,
    read_only: bool = False,
) -> Setting:
    choices = tuple(select.split())
    kind: Literal["boolean", "int", "string", "select", "multiSelect"]
    match value:
        case bool():
            kind = "boolean"
        case int():
            kind = "int"
        case str():
            kind = "select" if choices else "string"
        case list():
            kind = "multiSelect"
    return Setting(id_, value, kind, public, group, choices, least, read_only)


_HIDEABLE = (
    "uj ujt ul ult ru au added-user-to-team removed-user-from-team mute_unmute r wm rm ut"
    " room_changed_avatar room_changed_privacy room_changed_topic room_changed_announcement"
    " room_changed_description room-archived room-unarchived room-set-read-only"
    " room-removed-read-only room-allowed-reacting room-disallowed-reacting"
    " subscription-role-added subscription-role-removed message_pinned discussion-created"
)
"""System messages that a workspace or a room may leave out."""

SETTINGS: dict[str, Setting] = {
    setting.id: setting
    for setting in (
        _setting("Accounts", "Accounts_AllowAnonymousRead", False),
        _setting("Accounts", "Accounts_AllowAnonymousWrite", False, read_only=True),
        _setting(
            "Accounts", "Accounts_RegistrationForm", "Public", select="Public Disabled Secret_URL"
        ),
        _setting("Accounts", "Accounts_AllowUserStatusMessageChange", True),
        _setting("Accounts", "Accounts_AllowInvisibleStatusOption", True),
        _setting("Accounts", "Accounts_AllowUsernameChange", True),
        _setting("Accounts", "Accounts_AllowRealNameChange", True),
        _setting("Accounts", "Accounts_AllowEmailChange", True),
        _setting("Accounts", "Accounts_AllowPasswordChange", True),
        _setting("Accounts", "Accounts_AllowUserProfileChange", True),
        _setting("Accounts", "Accounts_AllowDeleteOwnAccount", False),
        _setting("Accounts", "Accounts_LoginExpiration", 90, least=1),
        _setting("Accounts", "Accounts_EmailVerification", False),
        _setting("Accounts", "Accounts_ManuallyApproveNewUsers", False, public=False),
        _setting("Accounts", "Accounts_Password_Policy_Enabled", False, read_only=True),
        _setting("Accounts", "Accounts_Default_User_Preferences_idleTimeLimit", 300),
        _setting("Accounts", "Accounts_Default_User_Preferences_enableAutoAway", True),
        _setting("Accounts", "Accounts_TwoFactorAuthentication_Enabled", True),
        _setting(
            "Accounts", "Accounts_TwoFactorAuthentication_By_Email_Enabled", False, read_only=True
        ),
        _setting("Accounts", "Accounts_TwoFactorAuthentication_Enforce_Password_Fallback", False),
        _setting("Accounts", "Accounts_TwoFactorAuthentication_RememberFor", 1800, public=False),
        _setting("Accounts", "Accounts_RegistrationForm_SecretURL", "", public=False),
        _setting("Accounts", "Accounts_ShowFormLogin", True),
        _setting("Accounts", "Accounts_PasswordReset", True),
        _setting("General", "Site_Name", "Hubbub"),
        _setting("General", "Site_Url", "http://127.0.0.1:3000"),
        _setting("General", "Language", "en"),
        _setting("General", "uniqueID", "", read_only=True),
        _setting("General", "UI_Use_Real_Name", False),
        _setting("General", "UI_Allow_room_names_with_special_chars", False),
        _setting("General", "UTF8_Channel_Names_Validation", "[0-9a-zA-Z-_.]+"),
        _setting("General", "UTF8_User_Names_Validation", "[0-9a-zA-Z-_.]+"),
        _setting("General", "Favorite_Rooms", True),
        _setting(
            "General",
            "Unread_Count",
            "user_and_group_mentions_only",
            select="all_messages user_mentions_only group_mentions_only"
            " user_and_group_mentions_only",
        ),
        _setting("General", "Unread_Count_DM", "all_messages", select="all_messages mentions_only"),
        _setting("General", "API_Default_Count", 50, least=1),
        _setting("General", "API_Upper_Count_Limit", 100, least=1),
        _setting("General", "API_Allow_Infinite_Count", True),
        _setting("General", "API_Use_REST_For_DDP_Calls", True),
        _setting("General", "DirectMesssage_maxUsers", 8, least=1),
        _setting("Message", "Message_AllowEditing", True),
        _setting("Message", "Message_AllowEditing_BlockEditInMinutes", 0),
        _setting("Message", "Message_AllowDeleting", True),
        _setting("Message", "Message_AllowDeleting_BlockDeleteInMinutes", 0),
        _setting("Message", "Message_AllowPinning", True),
        _setting("Message", "Message_AllowStarring", True),
        _setting("Message", "Message_KeepHistory", False),
        _setting("Message", "Message_MaxAllowedSize", 5000, least=1),
        _setting("Message", "Message_ShowDeletedStatus", False),
        _setting("Message", "Message_ShowEditedStatus", True),
        _setting("Message", "Message_GroupingPeriod", 300),
        _setting("Message", "Message_Read_Receipt_Enabled", False),
        _setting("Message", "Store_Last_Message", True),
        _setting("Message", "Threads_enabled", True),
        _setting("Presence", "Presence_broadcast_disabled", False),
        _setting("FileUpload", "FileUpload_Enabled", True),
        _setting("FileUpload", "FileUpload_MaxFileSize", 104857600, least=-1),
        _setting("E2E", "E2E_Enable", False, read_only=True),
        _setting("Push", "Push_enable", False, read_only=True),
        _setting("Message", "Hide_System_Messages", [], select=_HIDEABLE),
        _setting("General", "API_Enable_Rate_Limiter", True, public=False),
        _setting(
            "General", "API_Enable_Rate_Limiter_Limit_Calls_Default", 10, public=False, least=1
        ),
        _setting(
            "General",
            "API_Enable_Rate_Limiter_Limit_Time_Default",
            60_000,
            public=False,
            least=1000,
        ),
        _setting("General", "API_Enable_CORS", False, public=False),
        _setting("General", "API_CORS_Origin", "*", public=False),
        _setting("General", "API_User_Limit", 500, public=False, least=1),
        _setting("General", "API_Enable_Direct_Message_History_EndPoint", False, public=False),
        _setting("General", "Show_Setup_Wizard", "completed", select="completed", read_only=True),
        _setting("Accounts", "Accounts_AllowUserAvatarChange", True),
        _setting("Accounts", "Accounts_AvatarBlockUnauthenticatedAccess", False),
        _setting("Message", "Message_Read_Receipt_Store_Users", False, read_only=True),
        _setting("Message", "Message_ErasureType", "Delete", select="Delete Unlink Keep"),
        _setting("Discussion", "Discussion_enabled", True),
        _setting("FileUpload", "FileUpload_MediaTypeWhiteList", ""),
        _setting("FileUpload", "FileUpload_MediaTypeBlackList", ""),
        # Clients ask for these and would offer what a missing one cannot deny.
        _setting("LDAP", "LDAP_Enable", False, read_only=True),
        _setting("CAS", "CAS_enabled", False, read_only=True),
        _setting("CROWD", "CROWD_Enable", False, read_only=True),
        _setting("VideoConference", "Jitsi_Enabled", False, read_only=True),
        _setting("Omnichannel", "Livechat_enabled", False, read_only=True),
    )
}

_USERS = "Users"
_SUBSCRIPTIONS = "Subscriptions"

ROLES: dict[str, tuple[str, str]] = {
    "admin": (_USERS, "Admin"),
    "user": (_USERS, ""),
    "bot": (_USERS, "Bot"),
    "app": (_USERS, ""),
    "guest": (_USERS, ""),
    "anonymous": (_USERS, ""),
    "owner": (_SUBSCRIPTIONS, "Owner"),
    "moderator": (_SUBSCRIPTIONS, "Moderator"),
    "leader": (_SUBSCRIPTIONS, "Leader"),
}
"""Role → (scope, description). Roles with a description are public."""

_EVERYBODY_WHO_WRITES = "admin user bot app"
_ROOM_STAFF = "admin owner moderator"

PERMISSIONS: dict[str, tuple[str, ...]] = {
    permission: tuple(roles.split())
    for names, roles in (
        ("view-c-room", "admin user bot app anonymous"),
        ("preview-c-room", "admin user anonymous"),
        ("view-p-room", "admin user anonymous guest"),
        ("view-d-room", "admin user bot app guest"),
        ("view-joined-room", "guest bot app anonymous"),
        ("create-c create-d create-p", _EVERYBODY_WHO_WRITES),
        ("delete-c delete-p", "admin owner"),
        ("delete-d", "admin"),
        ("leave-c leave-p", "admin user bot anonymous app"),
        ("edit-room add-user-to-joined-room remove-user mute-user ban-user", _ROOM_STAFF),
        ("add-user-to-any-c-room kick-user-from-any-c-room add-all-to-room", "admin"),
        ("add-user-to-any-p-room kick-user-from-any-p-room", ""),
        ("archive-room", "admin owner"),
        ("unarchive-room", "admin"),
        (
            "set-owner set-moderator set-leader set-readonly set-react-when-readonly",
            "admin owner",
        ),
        (
            "post-readonly pin-message edit-message delete-message view-broadcast-member-list",
            _ROOM_STAFF,
        ),
        ("force-delete-message", "admin owner"),
        ("delete-own-message", "admin user"),
        ("mention-all mention-here", "admin owner moderator user"),
        ("message-impersonate", "bot app"),
        ("send-many-messages", "admin bot app"),
        ("bypass-time-limit-edit-and-delete", "bot app"),
        ("api-bypass-rate-limit", "admin bot app"),
        ("join-without-join-code", "admin bot app"),
        (
            "view-join-code view-room-administration view-user-administration view-statistics"
            " view-logs view-full-other-user-info view-other-user-channels"
            " view-privileged-setting edit-privileged-setting manage-selected-settings"
            " access-permissions assign-roles assign-admin-role create-user delete-user"
            " edit-other-user-info edit-other-user-password edit-other-user-active-status"
            " logout-other-user manage-apps run-import clean-channel-history mail-messages",
            "admin",
        ),
        ("create-personal-access-tokens", "admin user"),
        ("user-generate-access-token", "admin"),
        ("view-outside-room", "admin owner moderator user"),
        ("start-discussion", "admin user guest app"),
        ("mobile-upload-file", "user admin"),
        ("edit-other-user-avatar manage-emoji", "admin"),
        ("create-invite-links", "admin owner moderator"),
        ("view-moderation-console manage-moderation-actions", "admin"),
        ("manage-user-status test-push-notifications", "admin"),
        (
            "manage-incoming-integrations manage-own-incoming-integrations"
            " manage-outgoing-integrations manage-own-outgoing-integrations",
            "admin",
        ),
    )
    for permission in names.split()
}
"""Permission → roles that hold it."""

GENERAL_ROOM_ID = "GENERAL"
GENERAL_ROOM_NAME = "general"

BOT_USER_ID = "rocket.cat"
"""The built-in bot; clients test for this id and username."""

REMOVED_USER = "Removed User"
"""What messages are signed with that became the bot's when their author's account went."""

PUBLISHED_ROOM_FIELDS = frozenset(
    "_id name fname t cl u lm teamId teamMain topic announcement announcementDetails muted unmuted"
    " _updatedAt archived description default customFields lastMessage retention prid avatarETag"
    " usersCount msgs joinCodeRequired open ro reactWhenReadOnly sysMes broadcast encrypted"
    " e2eKeyId streamingOptions featured ts usernames uids tags label federated".split()
)
"""Fields of a room that leave the server. Never: `joinCode`, `importIds`."""

PUBLISHED_SUBSCRIPTION_FIELDS = frozenset(
    "_id t ts ls lr name fname rid code f u open alert roles unread prid userMentions"
    " groupMentions archived audioNotificationValue desktopNotifications mobilePushNotifications"
    " emailNotifications desktopPrefOrigin mobilePrefOrigin emailPrefOrigin unreadAlert _updatedAt"
    " blocked blocker autoTranslate autoTranslateLanguage disableNotifications hideUnreadStatus"
    " hideMentionStatus muteGroupMentions ignored tunread tunreadGroup tunreadUser teamMain teamId"
    " broadcast".split()
)
"""Fields of a membership that leave the server."""

INTERNAL_MESSAGE_FIELDS = frozenset(
    "_hidden _trace parent imported token federation tokens html seq starred pinNotice".split()
)
"""Fields of a message that never leave in a shared frame; `starred` would tell who starred."""

SYSTEM_MESSAGE_TYPES = frozenset(
    "uj ul ujt ult ut au ru added-user-to-team removed-user-from-team r room_changed_topic"
    " room_changed_description room_changed_announcement room_changed_privacy"
    " room_changed_avatar room-archived room-unarchived room-set-read-only"
    " room-removed-read-only room-allowed-reacting room-disallowed-reacting user-muted"
    " user-unmuted subscription-role-added subscription-role-removed message_pinned"
    " discussion-created rm wm command e2e otr otr-ack room_e2e_enabled room_e2e_disabled"
    " videoconf mute_unmute".split()
)
"""Values of a message's `t` that only the server writes."""

USER_DATA_FIELDS = frozenset(
    "username name nickname bio emails status statusText statusDefault statusConnection roles type"
    " active avatarETag avatarOrigin utcOffset language settings customFields"
    " requirePasswordChange requirePasswordChangeReason statusLivechat _updatedAt".split()
)
"""First path segments of a user's own document that its sockets may see. Beside them only
`services.totp.enabled` and `services.email2fa.enabled`."""
