"""Every call that there is, filled in with good values: made from the tables of the doors.

A new method or endpoint is among them as soon as it exists. If it needs a parameter whose name
means nothing here, the tests fail and say which, until a good value stands in `Things.values`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from hubbub.doors.methods import METHODS, Method
from services.gateway.rest.endpoints import everything
from services.gateway.rest.router import Endpoint
from tests.corpus.operators import _models

PAST: Final = 1_577_836_800_000
"""The first moment of 2020, in milliseconds: before everything that a test says."""
FUTURE: Final = 4_102_444_800_000
_PAST_TEXT: Final = "2020-01-01T00:00:00.000Z"
_FUTURE_TEXT: Final = "2100-01-01T00:00:00.000Z"

PLACES: Final = frozenset(
    "room_id rid roomId roomName prid name_or_id channel"
    " message_id message_ids _id mid tmid msgId messageId message thread_id pmid msg".split()
)
"""Names of parameters that say in which room, or about which message."""

WRAPPERS: Final = frozenset({"callWithTwoFactorRequired"})
"""Methods that only carry another one."""


@dataclass(frozen=True)
class Things:
    """What calls may be about."""

    room_id: str
    room_name: str
    message_id: str
    thread_id: str
    user_id: str
    username: str
    invite: str = "none"
    file_id: str = "none"
    setting_id: str = "none"
    word: str = "word"
    """What is searched for."""
    room_type: str = "p"

    def values(self) -> dict[str, Any]:
        """Good values by the names of parameters, for methods and endpoints alike."""
        rooms = dict.fromkeys(("room_id", "rid", "roomId", "prid", "name_or_id"), self.room_id)
        messages = dict.fromkeys(
            ("message_id", "_id", "mid", "msgId", "messageId", "pmid", "id"), self.message_id
        )
        threads = dict.fromkeys(("tmid", "thread_id"), self.thread_id)
        users = dict.fromkeys(("user_id", "userId", "blocked"), self.user_id)
        names = dict.fromkeys(("username", "usernames"), self.username)
        words = ("text", "searchText", "name_part", "query")
        return {
            **rooms,
            **messages,
            **threads,
            **users,
            **names,
            **dict.fromkeys(words, self.word),
            "roomName": self.room_name,
            "message_ids": [self.message_id, self.thread_id],
            "room_type": self.room_type,
            "show_all": True,
            "users": [self.username],
            "count": 100,
            "limit": 100,
            "reaction": ":smile:",
            "emoji": "smile",
            "field": "desktopNotifications",
            "value": "all",
            "settings": "roomTopic",
            "t_name": "a discussion",
            "description": "a description",
            "inclusive": True,
            "cmd": "topic",
            "command": "topic",
            "params": "a topic",
            "favorite": True,
            "action": "archive",
            "days": 1,
            "maxUses": 0,
            "name": "a-name",
            "purpose": "a purpose",
            "topic": "a topic",
            "announcement": "an announcement",
            "readOnly": True,
            "default": True,
            "joinCode": "a code",
            "customFields": {},
            "encrypted": False,
            "notifications": {"desktopNotifications": "all"},
            "role": "owner",
            "roleName": "owner",
        }


_DOORS: Final = frozenset({"method.call/*", "method.callAnon/*"})
"""Endpoints that carry methods, which are called by themselves."""

_ENDS: Final = frozenset({"logout", "users.logout", "users.logoutOtherClients"})
"""Endpoints behind which the caller has to sign in again."""

_IN_METHODS: Final[Mapping[tuple[str, str], Any]] = {
    ("getRoomIdByNameOrId", "name_or_id"): "<name>",
    ("getRoomByTypeAndName", "name"): "<name>",
    ("roomNameExists", "name"): "<name>",
    ("getReadReceipts", "message"): {"messageId": "<message>"},
    ("spotlight", "kinds"): {"users": True, "rooms": True},
    ("slashCommand", "msg"): {"_id": "<new>", "rid": "<room>"},
    ("sendMessage", "_id"): "<new>",
    ("sendMessage", "msg"): "x",
    ("sendMessage", "tmid"): None,
    ("updateMessage", "msg"): "x",
    ("unreadMessages", "first_unread"): {"_id": "<message>"},
    ("createDiscussion", "users"): [],
}
"""Names that mean something else in one method."""

_IN_ENDPOINTS: Final[Mapping[tuple[str, str], Any]] = {
    ("chat.sendMessage", "message"): {"_id": "<new>", "rid": "<room>", "msg": "x"},
    ("chat.postMessage", "tmid"): None,
    ("commands.run", "tmid"): None,
    ("channels.online", "_id"): "<room>",
    ("groups.online", "_id"): "<room>",
    ("channels.setType", "type"): "p",
    ("groups.setType", "type"): "c",
    ("rooms.createDiscussion", "users"): [],
    ("integrations.get", "integrationId"): "<room>",
    ("integrations.history", "id"): "<room>",
    ("rooms.saveRoomSettings", "roomName"): None,
    ("rooms.saveRoomSettings", "roomTopic"): "x",
    ("rooms.cleanHistory", "users"): [],
    **{
        ("rooms.saveRoomSettings", name): None
        for name in ("readOnly", "default", "joinCode", "encrypted", "favorite")
    },
}


@dataclass(frozen=True)
class MethodCall:
    """A call of a method."""

    name: str
    params: list[Any]
    reads: bool
    anonymous: bool
    is_about_room: bool


@dataclass(frozen=True)
class EndpointCall:
    """A call of an endpoint."""

    verb: str
    path: str
    values: dict[str, Any]
    """Query or body."""
    is_about_room: bool
    by: str
    """Whether the room is given by `id` or by `name`."""
    access: str

    @property
    def label(self) -> str:
        return f"{self.verb} {self.path} by {self.by}"


def method_calls(things: Things) -> Iterator[MethodCall]:
    """Every method of the table, with good parameters."""
    for method in METHODS.values():
        if method.name in WRAPPERS:
            continue
        params, names = _params(method, things)
        yield MethodCall(
            method.name,
            params,
            reads=method.parallel_safe,
            anonymous=method.anonymous,
            is_about_room=bool(names & PLACES),
        )


def endpoint_calls(things: Things) -> Iterator[EndpointCall]:
    """Every endpoint of the table; where a room is named by id or name, once by each."""
    for endpoint in everything():
        if endpoint.takes_file_itself or endpoint.name in _ENDS or endpoint.name in _DOORS:
            continue
        path = endpoint.path.replace("*", _rest(endpoint, things))
        values = _endpoint_values(endpoint, things)
        is_about_room = bool(values.keys() & PLACES) or endpoint.path.endswith("/*")
        by_id = {
            name: value
            for name, value in values.items()
            if name != "roomName" or endpoint.name == "rooms.nameExists"
        }
        yield EndpointCall(endpoint.method, path, by_id, is_about_room, "id", endpoint.access)
        by_name = _by_name(endpoint, values, things)
        if by_name is not None:
            yield EndpointCall(endpoint.method, path, by_name, True, "name", endpoint.access)


def _by_name(endpoint: Endpoint, values: dict[str, Any], things: Things) -> dict[str, Any] | None:
    without = {name: value for name, value in values.items() if name not in ("roomId", "rid")}
    if endpoint.name == "chat.postMessage":
        return {**without, "channel": f"#{things.room_name}"}
    if "roomName" in values and "roomId" in values:
        return without
    return None


def _rest(endpoint: Endpoint, things: Things) -> str:
    if endpoint.name == "file-upload/*":
        return f"{things.file_id}/file"
    if endpoint.name == "removeInvite/*":
        return things.invite
    if endpoint.name == "rooms.mediaConfirm/*":
        return f"{things.room_id}/{things.file_id}"
    if endpoint.name == "settings/*":
        return things.setting_id
    return things.room_id


def _params(method: Method, things: Things) -> tuple[list[Any], set[str]]:
    values = {**things.values(), "start": {"$date": PAST}, "updated_since": {"$date": PAST}}
    values |= {"oldest": {"$date": PAST}, "latest": {"$date": FUTURE}}
    declared = list(inspect.signature(method._handler).parameters.values())[1:]
    params: list[Any] = []
    filled: set[str] = set()
    for one, parameter in zip(declared, method._parameters, strict=True):
        schema = parameter.adapter.json_schema()
        special = _special(_IN_METHODS, method.name, one.name, things)
        if special is not _NOTHING:
            params.append(special)
            filled.add(one.name)
            continue
        for model in _models(schema, schema):
            found = _object(method.name, model, values, _IN_METHODS, things)
            params.append(found)
            filled |= found.keys()
            break
        else:
            if one.name in values:
                filled.add(one.name)
            elif parameter.default is inspect.Parameter.empty and method.name not in _OWN_AFFAIRS:
                raise LookupError(f"{method.name}: what is a good {one.name}?")
            params.append(values.get(one.name))
    return params, filled


_OWN_AFFAIRS: Final = frozenset(
    "registerUser createUser setUsername UserPresence:setDefaultStatus saveUserProfile"
    " saveUserPreferences userSetUtcOffset setUserPassword checkRegistrationSecretURL"
    " sendConfirmationEmail personalAccessTokens:generateToken"
    " personalAccessTokens:regenerateToken personalAccessTokens:removeToken"
    " 2fa:validateTempToken 2fa:disable 2fa:regenerateCodes setAvatarFromService".split()
)
"""Methods about the caller's own account: what they take names nobody else."""


def _endpoint_values(endpoint: Endpoint, things: Things) -> dict[str, Any]:
    if endpoint.asked is None:
        return {}
    values = {**things.values(), "roomId": things.room_id, "selector": _selector(things)}
    values |= dict.fromkeys(("since", "lastUpdate", "updatedSince"), _PAST_TEXT)
    values |= {"oldest": _PAST_TEXT, "latest": _FUTURE_TEXT, "users": things.username}
    for name in ("query", "_id", *(("name",) if endpoint.method == "GET" else ())):
        values.pop(name)  # here they choose from a list
    if endpoint.name == "spotlight":
        values["query"] = things.word
    model = endpoint.asked.model_json_schema()
    return _object(endpoint.name, model, values, _IN_ENDPOINTS, things)


def _selector(things: Things) -> str:
    return f'{{"name": "{things.word}", "term": "{things.word}"}}'


_NOTHING: Final = object()


def _object(
    name: str,
    model: Mapping[str, Any],
    values: Mapping[str, Any],
    specials: Mapping[tuple[str, str], Any],
    things: Things,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field in model.get("properties", {}):
        special = _special(specials, name, field, things)
        value = values.get(field) if special is _NOTHING else special
        if value is not None:
            found[field] = value
    return found


def _special(specials: Mapping[tuple[str, str], Any], name: str, field: str, things: Things) -> Any:
    return _filled(specials.get((name, field), _NOTHING), things)


def _filled(value: Any, things: Things) -> Any:
    names = {
        "<name>": things.room_name,
        "<room>": things.room_id,
        "<message>": things.message_id,
        "<user>": things.user_id,
        "<new>": f"new{things.message_id}",
    }
    if isinstance(value, dict):
        return {key: _filled(item, things) for key, item in value.items()}
    return names.get(value, value) if isinstance(value, str) else value
