"""`chat.syncMessages` by pages: what changed, or what went, after a moment."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from hubbub.contracts.documents import Document
from hubbub.ddp.ejson import milliseconds
from hubbub.ids import RoomId
from services.gateway.rest.answers import InvalidParams
from services.gateway.rest.call import Call
from services.gateway.rest.requests import missing

_MOMENT_OF: Final = {"UPDATED": "_updatedAt", "DELETED": "_deletedAt"}
_LAST = 253_402_300_799_999  # milliseconds since 1970: the end of the year 9999


async def page(call: Call, room_id: RoomId, kind: str) -> dict[str, Any]:
    """One page of changes, oldest first, with the cursors of its ends.

    Raises: InvalidParams: another kind; no `next`. Pages into the past are not offered.
    """
    if kind not in _MOMENT_OF:
        raise InvalidParams("must be equal to one of the allowed values")
    after = call.query.whole("next")
    if after is None or after > _LAST:
        raise missing("next")
    count = (await call.paging_rules()).count(call.query.whole("count"))
    since = datetime.fromtimestamp(after / 1000, UTC)
    found = await call.services.messaging.synchronize(call.user_id, room_id, since)
    items = found.updated if kind == "UPDATED" else found.deleted
    shown, cursor = cut_after(items, _MOMENT_OF[kind], after, count)
    return {
        "updated": shown if kind == "UPDATED" else [],
        "deleted": shown if kind == "DELETED" else [],
        "cursor": cursor,
    }


def cut_after(
    items: list[Document], key: str, after: int, count: int
) -> tuple[list[Document], dict[str, str | None]]:
    """The first `count` of `items` later than `after` (milliseconds), and the cursors.

    Items of the same moment stay together, so that no page edge falls between them.
    """
    timed = sorted(((milliseconds(item[key]), item) for item in items), key=lambda entry: entry[0])
    later = [entry for entry in timed if entry[0] > after]
    end = min(count, len(later))
    while 0 < end < len(later) and later[end][0] == later[end - 1][0]:
        end += 1
    shown = later[:end]
    cursor = {
        "next": str(shown[-1][0]) if shown and end < len(later) else None,
        "previous": str(shown[0][0]) if shown else None,
    }
    return [item for _, item in shown], cursor
