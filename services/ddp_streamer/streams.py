"""Who may listen to which stream, as a table. Pure.

A row turns an event name into a `Plan`: the topic, the audience that carries it, and the
question that has to be answered with yes. Event names that no row knows are accepted where the
stream's rule holds and never get data: a client of a newer version must not fail.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from hubbub.contracts.event_log import (
    APPS,
    EVERYONE,
    LOGGED,
    Audience,
    room_audience,
    room_of,
    user_audience,
)
from hubbub.errors import BadRequest, NotAllowed, NotFound
from services.ddp_streamer.positions import Since
from services.ddp_streamer.rights import Question

MY_MESSAGES_EVENT: Final = "__my_messages__"
PREFIX: Final = "stream-"

MAX_EVENT_NAME: Final = 512  # characters
_MAX_ROOM_ID = 128  # characters; it becomes part of a NATS subject, whose length is bounded

COMPATIBLE_PUBLICATIONS: Final = frozenset(
    {
        "userData",
        "activeUsers",
        "roles",
        "userChannels",
        "fullUserData",
        "meteor.loginServiceConfiguration",
        "meteor_autoupdate_clientVersions",
    }
)
"""Publications of the original that clients still ask for: `ready` at once, without documents."""


class Who(Enum):
    """Who may listen."""

    ANYBODY = "anybody"
    LOGGED = "logged"
    """Every signed-in socket."""
    NOBODY = "nobody"
    ASK = "ask"
    """Those for whom the question is answered with yes."""


class Manner(Enum):
    """How a topic's events reach its listeners."""

    TOPIC = "topic"
    MY_MESSAGES = "my-messages"
    ROOMS_CHANGED = "rooms-changed"
    PRESENCE = "presence"


@dataclass(frozen=True, slots=True)
class Plan:
    """What a subscription needs."""

    topic: tuple[str, str]
    who: Who
    audience: Audience | None = None
    question: Question | None = None
    manner: Manner = Manner.TOPIC

    @property
    def recoverable(self) -> bool:
        """Its events are one room's: a client that comes back may get those that it missed."""
        return self.audience is not None and room_of(self.audience) is not None


@dataclass(frozen=True, slots=True)
class Wish:
    """The parameters of a subscription to a stream."""

    event: str
    use_collection: bool
    options: dict[str, Any]
    """The second parameter, when it is an object."""
    since: Since | None = None
    """Where the client says that it was, in what can be recovered."""

    @property
    def presence_delta(self) -> dict[str, Any]:
        """Users to watch and to watch no longer; some clients nest it in `args`."""
        if "added" in self.options or "removed" in self.options:
            return self.options
        args = self.options.get("args")
        first = args[0] if isinstance(args, list) and args else None
        return first if isinstance(first, dict) else {}


def wish(params: list[Any]) -> Wish:
    """What `params` of a sub ask for. Raises: BadRequest: no event name."""
    event = params[0] if params else None
    second = params[1] if len(params) > 1 else None
    options = second if isinstance(second, dict) else {}
    if not isinstance(event, str) or len(event) > MAX_EVENT_NAME:
        raise BadRequest(code="invalid-event-name")
    return Wish(event, second is True or options.get("useCollection") is True, options)


def plan(stream: str, event: str, user_id: str | None) -> Plan:
    """What listening to `event` of `stream` needs, for `user_id` (None: not signed in).

    Raises:
        NotFound: there is no such stream.
        BadRequest: the event name is empty.
        NotAllowed: nobody may listen to it, or this user never may.
    """
    row = _ROWS.get(stream)
    if row is None:
        name = PREFIX + stream
        raise NotFound(f"Subscription '{name}' not found", code=404)
    if not event and stream != "user-presence":
        raise BadRequest(code="invalid-event-name")
    found = row(stream, event, user_id)
    if found.who is Who.NOBODY:
        raise not_allowed()
    return found


def not_allowed() -> NotAllowed:
    """The refusal that clients know."""
    return NotAllowed(code="not-allowed")


Row = Callable[[str, str, str | None], Plan]


def _room_messages(stream: str, event: str, user_id: str | None) -> Plan:
    if event == MY_MESSAGES_EVENT:
        return Plan((stream, event), Who.ANYBODY, manner=Manner.MY_MESSAGES)
    return _about_room(stream, event, event, Question("read", user_id, event))


def _notify_room(stream: str, event: str, user_id: str | None) -> Plan:
    room_id = event.partition("/")[0]
    return _about_room(stream, event, room_id, Question("access", user_id, room_id))


def _room_data(stream: str, event: str, user_id: str | None) -> Plan:
    return _about_room(stream, event, event, Question("access", user_id, event))


def _about_room(stream: str, event: str, room_id: str, question: Question) -> Plan:
    if not room_id:
        raise BadRequest(code="invalid-event-name")
    if len(room_id) > _MAX_ROOM_ID:
        raise not_allowed()
    return Plan((stream, event), Who.ASK, room_audience(room_id), question)


def _notify_user(stream: str, event: str, user_id: str | None) -> Plan:
    owner, _, name = event.partition("/")
    if user_id is None:  # perhaps it will be the owner, after a login that is under way
        return Plan((stream, event), Who.LOGGED)
    if owner != user_id:
        raise not_allowed()
    manner = Manner.ROOMS_CHANGED if name == "rooms-changed" else Manner.TOPIC
    return Plan((stream, event), Who.LOGGED, user_audience(user_id), manner=manner)


def _notify_logged(stream: str, event: str, user_id: str | None) -> Plan:
    if event == "private-settings-changed":
        return _with_permission(
            stream,
            event,
            user_id,
            LOGGED,
            "view-privileged-setting edit-privileged-setting manage-selected-settings",
        )
    return Plan((stream, event), Who.LOGGED, LOGGED)


def _notify_all(stream: str, event: str, _: str | None) -> Plan:
    return Plan((stream, event), Who.ANYBODY, EVERYONE)


def _logged(stream: str, event: str, _: str | None) -> Plan:
    return Plan((stream, event), Who.LOGGED, LOGGED)


def _apps(stream: str, event: str, _: str | None) -> Plan:
    # Web clients of every user subscribe to the settings of apps, too, and must get `ready`; who
    # hears of one is decided when it changes.
    return Plan((stream, event), Who.LOGGED, APPS)


def _presence(stream: str, event: str, _: str | None) -> Plan:
    return Plan((stream, event), Who.LOGGED, manner=Manner.PRESENCE)


def _importers(stream: str, event: str, user_id: str | None) -> Plan:
    return _with_permission(stream, event, user_id, None, "run-import")


def _integration_history(stream: str, event: str, user_id: str | None) -> Plan:
    return _with_permission(
        stream,
        event,
        user_id,
        None,
        "manage-outgoing-integrations manage-own-outgoing-integrations",
    )


def _with_permission(
    stream: str, event: str, user_id: str | None, audience: Audience | None, permissions: str
) -> Plan:
    if user_id is None:
        return Plan((stream, event), Who.LOGGED)
    question = Question("permissions", user_id, permissions)
    return Plan((stream, event), Who.ASK, audience, question)


def _nobody(stream: str, event: str, _: str | None) -> Plan:
    return Plan((stream, event), Who.NOBODY)


_ROWS: Final[dict[str, Row]] = {
    "room-messages": _room_messages,
    "notify-room": _notify_room,
    "notify-user": _notify_user,
    "notify-logged": _notify_logged,
    "notify-all": _notify_all,
    "roles": _logged,
    "room-data": _room_data,
    "user-presence": _presence,
    "apps": _apps,
    "importers": _importers,
    "integrationHistory": _integration_history,
    # Not offered, or never readable by clients.
    "notify-room-users": _nobody,
    "apps-engine": _nobody,
    "stdout": _nobody,
    "canned-responses": _nobody,
    "livechat-room": _nobody,
    "livechat-inquiry-queue-observer": _nobody,
    "local": _nobody,
}

STREAMS: Final = frozenset(_ROWS)
"""Names of all streams, without `stream-`."""
