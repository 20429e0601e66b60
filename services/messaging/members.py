"""What members are to a room: roles, mutes, blocks, notification settings."""

from __future__ import annotations

from services.messaging.desk import Desk


class Members:
    """The doors of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
