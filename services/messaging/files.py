"""Messages that carry files."""

from __future__ import annotations

from services.messaging.desk import Desk


class Files:
    """The doors of this."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
