"""Rules of presence. Pure: no clock, no database, no bus."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import orjson

from hubbub.contracts.presence import STATUS_CODES, OwnPresence, Status
from hubbub.ids import UserId

MAX_TEXT = 120
"""Characters of a status text."""

_MARKUP = frozenset("<>&\"'")
_CONNECTION_RANK = (Status.OFFLINE, Status.AWAY, Status.ONLINE)


@dataclass(frozen=True, slots=True)
class Shown:
    """What others see of somebody's presence."""

    status: Status
    text: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A user's connections and what was told of them."""

    user_id: UserId
    version: int = 0
    """Grows with every change of the connections, or of what the user chose."""
    statuses: tuple[Status, ...] = ()
    """One per connection."""
    empty_since: datetime | None = None
    """When the last connection ended; None while there are some, or if there never were."""
    due: datetime | None = None
    announced: Shown | None = None
    """What others were told last; None: nothing but what the user's document said before."""
    announced_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class User:
    """The part of a user that matters here, as stored."""

    id: UserId
    username: str
    is_bot: bool = False
    status: Status = Status.OFFLINE
    connection: Status = Status.OFFLINE
    default: Status | None = None
    text: str = ""

    @property
    def shown(self) -> Shown:
        """What the stored document says."""
        return Shown(self.status, self.text)


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done about one user."""

    connection: Status
    shown: Shown
    write: bool
    """The user's document says something else."""
    announce: bool
    """Others were told something else, and may be told now."""
    postponed: bool
    """Others were told something else, but less than the pause ago."""
    due: datetime | None
    """When to look again; None: at the next change."""


def merged(statuses: Iterable[Status]) -> Status:
    """The status of several connections: online if any is, else away if any is."""
    ranked = (status for status in statuses if status in _CONNECTION_RANK)
    return max(ranked, key=_CONNECTION_RANK.index, default=Status.OFFLINE)


def visible(connection: Status, default: Status | None, *, is_bot: bool) -> Status:
    """The status that others see.

    Without a connection: offline, but bots keep what they chose. Else what was chosen, unless
    that is `online`, which means "as my connections say". Offline by choice is invisible.
    """
    if connection is Status.OFFLINE:
        return default or Status.OFFLINE if is_bot else Status.OFFLINE
    if default is None or default is Status.ONLINE:
        return connection
    return default


def connection_status(
    session: Session, previous: Status, now: datetime, grace: timedelta
) -> Status:
    """What the connections say. For `grace` after the last one ended: what they said before."""
    if session.statuses:
        return merged(session.statuses)
    if session.empty_since is not None and now < session.empty_since + grace:
        return previous
    return Status.OFFLINE


def decide(
    session: Session, user: User, now: datetime, *, grace: timedelta, pause: timedelta
) -> Decision:
    """What to write and to announce now.

    Args:
        grace: how long somebody without connections still appears as before.
        pause: the least time between two announcements of one user.
    """
    connection = connection_status(session, user.connection, now, grace)
    shown = Shown(visible(connection, user.default, is_bot=user.is_bot), user.text)
    differs = shown != (session.announced or user.shown)
    next_at = None if session.announced_at is None else session.announced_at + pause
    postponed = differs and next_at is not None and now < next_at
    looks = [next_at] if postponed and next_at is not None else []
    if not session.statuses and session.empty_since is not None:
        ends = session.empty_since + grace
        looks += [ends] if now < ends else []
    return Decision(
        connection=connection,
        shown=shown,
        write=(shown.status, connection) != (user.status, user.connection),
        announce=differs and not postponed,
        postponed=postponed,
        due=min(looks, default=None),
    )


def own_presence(session: Session, user: User, now: datetime, grace: timedelta) -> OwnPresence:
    """How a user appears to themselves, at this moment."""
    connection = connection_status(session, user.connection, now, grace)
    return OwnPresence(
        status=visible(connection, user.default, is_bot=user.is_bot),
        connection=connection,
        default=user.default or Status.ONLINE,
        text=user.text,
    )


def status_of(value: object) -> Status | None:
    """A stored status; None for what is none."""
    try:
        return Status(str(value))
    except ValueError:
        return None


def status_name(text: str) -> str | None:
    """The name of an offered status as it is stored; None for one that cannot be.

    Old clients put names into markup.
    """
    name = text.strip()
    is_good = 0 < len(name) <= MAX_TEXT and name.isprintable() and not _MARKUP & set(name)
    return name if is_good else None


def frame(user: User, shown: Shown) -> bytes:
    """The finished message that tells watching clients of a change."""
    return orjson.dumps(
        {
            "msg": "changed",
            "collection": "stream-user-presence",
            "id": user.id,
            "fields": {
                "uid": user.id,
                "args": [[user.username, STATUS_CODES[shown.status], shown.text]],
                "eventName": user.id,
            },
        }
    )
