"""What changed, or what went, in a room: by pages with cursors, or all of it after a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

from hubbub.contracts.documents import Document
from hubbub.ddp.ejson import milliseconds
from hubbub.errors import TooLarge
from hubbub.ids import MessageId, RoomId
from services.gateway.rest.answers import InvalidParams
from services.gateway.rest.call import Call
from services.gateway.rest.paging import EVERYTHING

Kind = Literal["updated", "deleted"]

_MOMENT_OF: Final[dict[Kind, str]] = {"updated": "_updatedAt", "deleted": "_deletedAt"}
_LAST: Final = 253_402_300_799_999  # milliseconds since 1970: the end of the year 9999
_STEP: Final = 200  # changes asked for at once; fewer when they are large


@dataclass(frozen=True, slots=True)
class Source:
    """Whose changes are wanted."""

    room_id: RoomId
    thread_id: MessageId | None = None
    """Only replies of this thread."""
    threads_only: bool = False
    """Only first messages of threads."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """From where, in which direction, and how much."""

    kind: Kind
    count: int
    bound: datetime
    newest_first: bool = False


async def page(
    call: Call, room_id: RoomId, kind: Kind, count: int, following: int | None, past: int | None
) -> dict[str, Any]:
    """One page of changes with the cursors of its ends.

    Args:
        following: milliseconds; what came after, oldest first.
        past: milliseconds; what came before, newest first.
    """
    newest_first = following is None and past is not None
    bound = moment_of((past if newest_first else following) or 0)
    items, more = await _stretch(
        call, Source(room_id), Stretch(kind, count, bound, newest_first=newest_first)
    )
    ends: list[str | None] = [None, None]
    if items:
        first, last = (str(milliseconds(item[_MOMENT_OF[kind]])) for item in (items[0], items[-1]))
        # Where the page began, others went on; behind its end there may be nothing.
        ends = [first, last if more else None]
    previous, following_on = reversed(ends) if newest_first else ends
    return {
        "updated": items if kind == "updated" else [],
        "deleted": items if kind == "deleted" else [],
        "cursor": {"next": following_on, "previous": previous},
    }


async def everything_since(
    call: Call, source: Source, kind: Kind, since: datetime
) -> list[Document]:
    """All changes after a moment, within reason, oldest first."""
    items, _ = await _stretch(call, source, Stretch(kind, EVERYTHING, since))
    return items


def moment_of(cursor: int) -> datetime:
    """The moment that a cursor stands for. Raises: InvalidParams: beyond all calendars."""
    if cursor > _LAST:
        raise InvalidParams('must match format "date-time"')
    return datetime.fromtimestamp(cursor / 1000, UTC)


async def _stretch(call: Call, source: Source, wanted: Stretch) -> tuple[list[Document], bool]:
    """The wanted changes in as many steps as they need, and whether there are more."""
    items: list[Document] = []
    bound, step = wanted.bound, _STEP
    while True:
        size = min(step, wanted.count - len(items))
        try:
            part = await call.services.messaging.changes_page(
                call.user_id,
                source.room_id,
                wanted.kind,
                size,
                after=None if wanted.newest_first else bound,
                before=bound if wanted.newest_first else None,
                thread_id=source.thread_id,
                threads_only=source.threads_only,
            )
        except TooLarge:
            if size == 1:
                raise
            step = size // 2
            continue
        items += part.items
        if not part.more or len(items) >= wanted.count:
            return items, part.more
        bound = items[-1][_MOMENT_OF[wanted.kind]]
