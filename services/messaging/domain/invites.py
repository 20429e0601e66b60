"""What an invitation says, and when it lets somebody in."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from hubbub.errors import BadRequest
from services.messaging.domain import foreign

DAYS: Final = (0, 1, 7, 15, 30)
"""For how long an invitation may be valid; 0: for ever."""

USES: Final = (0, 1, 5, 10, 25, 50, 100)
"""How often an invitation may be used; 0: as often as anybody likes."""

RIGHT: Final = "create-invite-links"


def invite(
    invite_id: str, room_id: str, user_id: str, days: int, max_uses: int, now: datetime
) -> dict[str, Any]:
    """A new invitation.

    Raises: BadRequest: a number of days or uses that is not offered.
    """
    check_limits(days, max_uses)
    return {
        "_id": invite_id,
        "rid": room_id,
        "userId": user_id,
        "days": days,
        "maxUses": max_uses,
        "uses": 0,
        "createdAt": now,
        "expires": now + timedelta(days=days) if days else None,
        "_updatedAt": now,
    }


def check_limits(days: int, max_uses: int) -> None:
    """Raises: BadRequest: a number that is not offered."""
    if days not in DAYS:
        raise BadRequest(
            "Invite should expire in 1, 7, 15 or 30 days, or send 0 to never expire.",
            code="invalid-number-of-days",
        )
    if max_uses not in USES:
        raise BadRequest(
            "Invite should be valid for 1, 5, 10, 25, 50, 100 or infinite (0) uses.",
            code="invalid-number-of-uses",
        )


def is_valid(invite: Mapping[str, Any], now: datetime) -> bool:
    """Whether an invitation would let somebody in at `now`."""
    expires = foreign.moment(invite.get("expires"))
    if expires is not None and expires <= now:
        return False
    most = foreign.number(invite.get("maxUses"))
    return not most or foreign.number(invite.get("uses")) < most


def view(invite: Mapping[str, Any], site_url: str) -> dict[str, Any]:
    """An invitation as those see it who may make some, with its link."""
    shown = {
        key: invite[key]
        for key in ("_id rid userId createdAt _updatedAt expires days maxUses uses".split())
        if key in invite
    }
    return shown | {"url": f"{site_url.rstrip('/')}/invite/{invite['_id']}"}
