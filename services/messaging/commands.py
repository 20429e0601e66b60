"""Slash commands."""

from __future__ import annotations

from services.messaging.desk import Desk


class Commands:
    """The doors of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
