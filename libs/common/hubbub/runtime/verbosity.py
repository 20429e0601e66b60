"""How much a process logs, changed while it runs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hubbub.telemetry import log as logs
from hubbub.telemetry.log import Level, get_logger

log = get_logger(__name__)

DETAIL_SECONDS = 60.0
"""Seconds for which a signal switches to `debug`."""


class Verbosity:
    """The level of the log of this process, which may be another one for a while."""

    def __init__(self) -> None:
        self._back_to: Level | None = None  # while it is only for a time
        self._timer: asyncio.TimerHandle | None = None

    def change(self, level: Level, seconds: float | None = None) -> None:
        """Log from `level` on; for `seconds`, then as before. None: from now on."""
        before = self._back_to if self._back_to is not None else logs.get_level()
        self._forget()
        if seconds is not None:
            self._back_to = before
            self._timer = asyncio.get_running_loop().call_later(seconds, self._back)
        self._switch(level)

    def toggle(self) -> None:
        """To `debug` for a minute; when that is still on: back."""
        if self._back_to is not None:
            self._back()
        else:
            self.change("debug", DETAIL_SECONDS)

    def close(self) -> None:
        """Change nothing by itself any more."""
        self._forget()

    def _back(self) -> None:
        level = self._back_to
        self._forget()
        if level is not None:
            self._switch(level)

    def _forget(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._back_to = None

    def _switch(self, level: Level) -> None:
        if level != (before := logs.get_level()):
            logs.set_level(level)
            log.warning("log_level_changed", before=before, after=level)


@contextmanager
def switching_by_signal(verbosity: Verbosity) -> Iterator[None]:
    """SIGUSR2 toggles the detail while the context lasts."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR2, verbosity.toggle)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGUSR2)
        verbosity.close()
