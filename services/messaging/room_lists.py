"""Directories, and lists for administrators."""

from __future__ import annotations

from services.messaging.desk import Desk


class RoomLists:
    """The doors of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
