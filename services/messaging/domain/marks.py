"""Rules of stars, pins, followed threads and reports."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from hubbub.contracts.messages import ActionNotAllowed
from hubbub.errors import BadRequest, NotAllowed
from services.messaging.domain import foreign, plain
from services.messaging.domain.rules import Rules
from services.messaging.domain.sending import Person
from services.messaging.domain.text import utf16_length

PIN: Final = "pin-message"

_REPORTED: Final = ("_id", "rid", "msg", "ts", "u", "tmid", "attachments", "_updatedAt")
_REPORTED_ROOM: Final = ("_id", "name", "fname", "t", "prid")

T = TypeVar("T")


def may_star(rules: Rules) -> None:
    """Raises: ActionNotAllowed."""
    if not rules.allow_starring:
        raise ActionNotAllowed("Message starring not allowed")


def may_pin(message: Mapping[str, Any], held: Collection[str], rules: Rules) -> None:
    """Raises: ActionNotAllowed."""
    if not rules.allow_pinning or PIN not in held or message.get("t"):
        raise ActionNotAllowed("Message pinning not allowed")


def may_thread(rules: Rules) -> None:
    """Raises: NotAllowed."""
    if not rules.threads:
        raise NotAllowed("Threads Disabled")


def last_seen_before(message: Mapping[str, Any], membership: Mapping[str, Any]) -> datetime | None:
    """The last look that leaves `message` unseen; None: it counts as unseen already."""
    sent = foreign.moment(message.get("ts"))
    seen = foreign.moment(membership.get("ls"))
    if sent is None or (seen is not None and seen < sent):
        return None
    return sent - timedelta(milliseconds=1)


def checked_description(description: str, rules: Rules) -> str:
    """Why a message is reported. Raises: BadRequest: `error-invalid-description`."""
    description = description.strip()
    if not description or utf16_length(description) > rules.max_length:
        raise BadRequest("Invalid description", code="error-invalid-description")
    plain.check_storable(description)
    return description


def report(
    message: Mapping[str, Any], room: Mapping[str, Any], reporter: Person, description: str
) -> dict[str, Any]:
    """What is stored of a report, without its id and date."""
    return {
        "message": {key: message[key] for key in _REPORTED if key in message},
        "room": {key: room[key] for key in _REPORTED_ROOM if key in room},
        "reportedBy": reporter.reference,
        "description": description,
    }


def receipt(message_id: str, membership: Mapping[str, Any]) -> dict[str, Any]:
    """That a member has seen a message."""
    user = membership.get("u") or {}
    return {
        "_id": f"{message_id}-{user.get('_id')}",
        "messageId": message_id,
        "userId": user.get("_id"),
        "ts": membership.get("ls"),
        "user": {key: user[key] for key in ("_id", "username", "name") if key in user},
    }


def first_moments(
    dated: Sequence[tuple[datetime, T]], count: int, *, newest_first: bool
) -> tuple[list[T], bool]:
    """The first `count` of what is dated, and whether more is left.

    Things of one moment stay together, so that no edge falls between them.
    """
    ordered = sorted(dated, key=lambda entry: entry[0], reverse=newest_first)
    end = min(count, len(ordered))
    while 0 < end < len(ordered) and ordered[end][0] == ordered[end - 1][0]:
        end += 1
    return [thing for _, thing in ordered[:end]], end < len(ordered)
