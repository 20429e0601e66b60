"""What an app keeps between restarts, and what it writes down. Standard library only."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Final

from hubbub.apps.engine import Engine

LONGEST_LINE: Final = 8000
"""Characters of a log line; the rest is cut off."""

_FRAMES: Final = 20


class Store:
    """Values under keys, of this app alone. Needs the permission `store`.

    A key has at most 256 characters, a value is JSON of at most 64 KiB. Each call stands for
    itself: between a `get` and a `set`, another handler of the app may have written.
    """

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    async def get(self, key: str, default: Any = None) -> Any:
        """The value of a key, or `default` while there is none. Raises: Refused."""
        found = await self._engine().call("store_get", {"key": key})
        return default if found is None else found

    async def set(self, key: str, value: Any) -> None:
        """Keep a value; it is stored when this returns. Raises: Refused."""
        await self._engine().call("store_set", {"key": key, "value": value})

    async def delete(self, key: str) -> None:
        """Forget a key, if it is there. Raises: Refused."""
        await self._engine().call("store_delete", {"key": key})

    async def keys(self, prefix: str = "") -> list[str]:
        """The keys that begin with `prefix`, sorted. Raises: Refused."""
        return [str(key) for key in await self._engine().call("store_list", {"prefix": prefix})]


class Log:
    """Lines for administrators: `hubbub app logs`. Never what people write to each other."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    def debug(self, text: str) -> None:
        """For the author of the app."""
        self.write("debug", text)

    def info(self, text: str) -> None:
        """What an administrator may want to know."""
        self.write("info", text)

    def warning(self, text: str) -> None:
        """Something is not as it should be, and the app goes on."""
        self.write("warning", text)

    def error(self, text: str) -> None:
        """Something does not work."""
        self.write("error", text)

    def exception(self, text: str = "") -> None:
        """The exception that is being handled, with its traceback."""
        trace = traceback.format_exc(limit=-_FRAMES)
        # Its end tells most.
        self.write("error", f"{text}\n{trace}"[-LONGEST_LINE:].strip())

    def write(self, level: str, text: str) -> None:
        """A line of one of the four levels. May be lost when there are too many."""
        # Half a surrogate pair, as in names of files, would break the connection.
        whole = text.encode(errors="replace").decode()
        self._engine().tell("log", {"level": level, "text": whole[:LONGEST_LINE]})
