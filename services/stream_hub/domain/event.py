"""Stream events, and how they are put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from hubbub.contracts.base import Event
from hubbub.contracts.event_log import Audience, ControlEvent, Header, Kind, encode_control
from hubbub.ddp import ejson
from hubbub.ddp.stream import stream_frame
from services.stream_hub.domain.change import Moment

_PLAIN_TYPES = (str, int, float, bool, type(None))
_MAX_INTEGER = 2**63 - 1
_ROOM_TYPES = frozenset("cpdlv")
_MAX_NAME = 1024  # characters of a name that a header carries


class StreamEvent(NamedTuple):
    """What goes into the log under one subject. `headers` is this event's own."""

    audience: Audience
    payload: bytes
    headers: dict[str, str]


@dataclass(slots=True)
class Decision:
    """What follows from one change."""

    events: list[StreamEvent] = field(default_factory=list)
    """For the log, in order. Those that depend on a lookup come last, so that the index of the
    others is the same whoever decides, whenever."""
    told: list[Event] = field(default_factory=list)
    """For the caches of other services."""
    skipped: str | None = None
    """Why there is nothing, if there is a reason worth counting."""


class RoomFacts(NamedTuple):
    """What a message's event says of its room."""

    type: str
    name: str
    hidden: frozenset[str]
    """System messages that this room does not show."""

    @property
    def headers(self) -> dict[str, str]:
        """The headers that tell type and name; direct rooms have no name."""
        told = {Header.ROOM_TYPE: self.type} if self.type in _ROOM_TYPES else {}
        if self.name and self.type != "d":
            told[Header.ROOM_NAME] = encoded(self.name)
        return told


class Known(Protocol):
    """What a decision may look up."""

    @property
    def hidden_types(self) -> frozenset[str]:
        """System messages that the workspace does not show."""
        ...

    @property
    def real_names(self) -> bool:
        """Whether the workspace shows names instead of usernames."""
        ...

    def name(self, user_id: str) -> str | None:
        """A user's present name, where names are shown; None when nobody knows it."""
        ...

    @property
    def erasure(self) -> str:
        """What becomes of the messages of a deleted account."""
        ...

    def roles_before(self, user_id: Any, moment: Moment) -> Sequence[str] | None:
        """The roles that a user held just before `moment`; None when nobody knows any more."""
        ...

    def room(self, room_id: str) -> RoomFacts | None:
        """Type and name of a room; None when there is no such room."""
        ...

    def room_document(self, room_id: str) -> Mapping[str, Any] | None:
        """A room as it is now; None when there is no such room."""
        ...

    def ended_membership(self, membership_id: Any) -> Mapping[str, Any] | None:
        """A deleted membership as the trash kept it."""
        ...


def facts_of(room: Mapping[str, Any]) -> RoomFacts:
    """The facts in a room's document, whatever its fields hold."""
    kind, name, hidden = room.get("t"), room.get("name"), room.get("sysMes")
    return RoomFacts(
        type=kind if type(kind) is str else "",
        name=name if type(name) is str and len(name) <= _MAX_NAME else "",
        hidden=hidden_types(hidden),
    )


def hidden_types(value: object) -> frozenset[str]:
    """System message types in a list of those to hide; `mute_unmute` stands for two."""
    if not isinstance(value, list):
        return frozenset()
    found = {item for item in value if type(item) is str}
    if "mute_unmute" in found:
        found |= {"user-muted", "user-unmuted"}
    return frozenset(found)


def frame(
    audience: Audience,
    stream: str,
    key: str,
    args: Sequence[Any],
    *,
    uid: str | None = None,
    more: Mapping[str, str] | None = None,
) -> StreamEvent:
    """A finished message to clients. `args` are encoded here, once for the whole cluster."""
    headers = {Header.KIND: Kind.FRAME.value, Header.STREAM: stream, Header.KEY: encoded(key)}
    if uid is not None:
        headers[Header.UID] = encoded(uid)
    if more:
        headers.update(more)
    return StreamEvent(audience, stream_frame(stream, key, text_of(args)), headers)


def shared_args(audience: Audience, stream: str, key: str, args: Sequence[Any]) -> StreamEvent:
    """The arguments of a message that names its receiver: each streamer adds the names."""
    headers = {Header.KIND: Kind.ARGS.value, Header.STREAM: stream, Header.KEY: encoded(key)}
    return StreamEvent(audience, text_of(args), headers)


def control(audience: Audience, event: ControlEvent) -> StreamEvent:
    """A message to streamers, never to clients."""
    return StreamEvent(audience, encode_control(event), {Header.KIND: Kind.CONTROL.value})


@lru_cache(maxsize=16384)
def encoded(text: str) -> str:
    """`text` percent-encoded, so that a header can carry it."""
    return quote(text, safe="/:@", errors="replace")


def text_of(value: object) -> bytes:
    """`value` as EJSON text, even if a foreign tool stored a type that EJSON does not know.

    Raises:
        EjsonError: it is nested beyond all measure.
    """
    try:
        return ejson.dumps(value)
    except ejson.EjsonError:
        try:
            return ejson.dumps(_plain(value))
        except RecursionError as error:
            raise ejson.EjsonError(str(error)) from None


def only(document: Mapping[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    """The fields of `document` that are among `fields`."""
    return {name: value for name, value in document.items() if name in fields}


def without(document: Mapping[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    """The fields of `document` that are not among `fields`."""
    return {name: value for name, value in document.items() if name not in fields}


def _plain(value: Any) -> Any:
    """`value` with what EJSON cannot carry made into text."""
    if isinstance(value, Mapping):
        return {_unbroken(str(name)): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        return _unbroken(value)
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        return str(value)
    if isinstance(value, _PLAIN_TYPES):
        return value
    try:
        ejson.dumps(value)
    except ejson.EjsonError:
        return _unbroken(str(value))
    return value


def _unbroken(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
