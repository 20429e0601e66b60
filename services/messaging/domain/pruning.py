"""What a stretch of messages that is to be removed consists of, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hubbub.contracts.discussions import Stretch

PRUNED_BY: Final = "prunedBy"
"""Field of a message in the trash: the record of the portion with which it was removed."""
RECORD: Final = "prune"
"""What the trash calls the record of a portion."""

_REMOVED: Final = {"color": "#FD745E", "text": "_File removed by prune_"}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which messages of a room are meant."""

    latest: datetime
    oldest: datetime
    inclusive: bool = False
    exclude_pinned: bool = False
    files_only: bool = False
    usernames: tuple[str, ...] = ()
    ignore_threads: bool = False
    ignore_discussions: bool = False


def selection_of(stretch: Stretch) -> Selection:
    """What a caller asked for."""
    return Selection(
        latest=stretch.latest,
        oldest=stretch.oldest,
        inclusive=stretch.inclusive,
        exclude_pinned=stretch.exclude_pinned,
        files_only=stretch.files_only,
        usernames=tuple(dict.fromkeys(stretch.usernames)),
        ignore_threads=stretch.ignore_threads,
        ignore_discussions=stretch.ignore_discussions,
    )


def record(
    record_id: str, room_id: str, gone: Sequence[Mapping[str, Any]], selection: Selection
) -> dict[str, Any]:
    """What clients are told of one portion: exactly which messages, and, for those that look
    at dates only, the time from its first to its last.

    Args:
        gone: the removed messages, oldest first; at least one.
    """
    return {
        "_id": record_id,
        "__collection__": RECORD,
        "rid": room_id,
        "first": gone[0].get("ts"),
        "last": gone[-1].get("ts"),
        "ids": [message["_id"] for message in gone],
        "users": list(selection.usernames),
        "excludePinned": selection.exclude_pinned,
        "ignoreDiscussion": selection.ignore_discussions,
    }


def without_files(message: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The attachments of a message whose files were removed: those that were files say so."""
    attachments = message.get("attachments")
    known = attachments if isinstance(attachments, list) else []
    kept = [one for one in known if not (isinstance(one, Mapping) and one.get("type") == "file")]
    return [*kept, dict(_REMOVED)]
