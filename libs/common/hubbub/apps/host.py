"""The program of an app's process: `python -I -m hubbub.apps.host DESCRIPTOR FOLDER PACKAGE`.

The engine's launcher confines the process first and then calls `main`. The package is imported
when the engine calls `start`, not before, so that even its import happens confined, within a
deadline, and is answered with what went wrong. The process ends when the engine closes the
socket, a while after `stop` or at once.

Standard library only: together with the app this is all that is in its memory.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import socket
import sys
from collections.abc import Mapping
from typing import Any

from hubbub.apps.app import App
from hubbub.apps.dispatch import Dispatcher
from hubbub.apps.engine import Refused
from hubbub.apps.line import Line
from hubbub.apps.store import Log

_READ_BUFFER = 1 << 17


def main(descriptor: int, folder: str, package: str) -> None:
    """Be the app until the engine closes the socket with this number.

    Raises: Broken: what came over the socket are no frames.
    """
    sys.path.insert(0, folder)
    asyncio.run(_run(socket.socket(fileno=descriptor), package))


async def _run(channel: socket.socket, package: str) -> None:
    channel.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=channel, limit=_READ_BUFFER)
    host = _Host(package)
    line = Line(reader, writer, host.answer)
    host.line = line
    _log_to(Log(lambda: line))
    try:
        await line.run()
    finally:
        writer.close()


class _Host:
    """Imports the app when it is started, and hands everything else to its handlers."""

    line: Line

    def __init__(self, package: str) -> None:
        self._package = package
        self._dispatcher: Dispatcher | None = None

    async def answer(self, name: str, args: Mapping[str, Any]) -> Any:
        """Answer a call of the engine. Raises: Refused."""
        if self._dispatcher is None:
            if name == "stop":
                return None
            if name != "start":
                raise Refused("not-started", f"{name} came before start")
            app = self._imported()
            app.engine = self.line
            dispatcher = Dispatcher(app)
            offers = await dispatcher.answer(name, args)
            self._dispatcher = dispatcher
            return offers
        if name == "start":
            raise Refused("started-already", "an app starts once")
        return await self._dispatcher.answer(name, args)

    def _imported(self) -> App:
        try:
            module = importlib.import_module(self._package)
        except Exception as error:
            Log(lambda: self.line).exception()
            reason = f"import of {self._package}: {type(error).__name__}: {error}"
            raise Refused("import-failed", reason[:500]) from error
        app = getattr(module, "app", None)
        if not isinstance(app, App):
            raise Refused("no-app", f"{self._package} has no `app = App()`")
        return app


class _Handler(logging.Handler):
    """Lines of Python's `logging` become lines of the app's log."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelno
        name = (
            "error" if level >= logging.ERROR
            else "warning" if level >= logging.WARNING
            else "info" if level >= logging.INFO
            else "debug"
        )  # fmt: skip
        try:
            self._log.write(name, self.format(record))
        except Exception:
            self.handleError(record)


def _log_to(log: Log) -> None:
    logging.basicConfig(handlers=[_Handler(log)], level=logging.INFO, format="%(message)s")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
