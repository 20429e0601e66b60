"""The open sockets, for those who look for a fault. Shows ids; never a session id or a token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from services.ddp_streamer.session import Session


def shown(sessions: Iterable[Session]) -> Iterator[dict[str, Any]]:
    """One entry per session."""
    for session in list(sessions):
        peer = session.connection.peer
        yield {
            "id": session.public_id,
            "user": session.user_id,
            "address": peer.address,
            "client": peer.user_agent,
            "sockjs": peer.sockjs,
            "ageSeconds": round(session.age, 1),
            "subscriptions": len(session.subscriptions),
            "waitsForAnswer": session.busy,
            "inLogin": session.in_login,
            "closing": session.closed,
        }
