"""Removing what was said in a stretch of time."""

from __future__ import annotations

from services.messaging.desk import Desk


class Pruning:
    """The doors of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
