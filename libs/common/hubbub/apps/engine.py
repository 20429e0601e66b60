"""How an app reaches the engine, whatever is there: a socket in its process, a fake in its tests.

Standard library only.
"""

from __future__ import annotations

from typing import Any, Protocol


class Refused(Exception):
    """The engine did not do what the app asked for.

    `code` is for programs (`error-permission-not-granted`, `too-many-requests`, `timeout`, or
    what a client of Hubbub would get), `reason` for people.
    """

    def __init__(self, code: str, reason: str = "") -> None:
        super().__init__(f"{reason} [{code}]" if reason else f"[{code}]")
        self.code = code
        self.reason = reason


class Engine(Protocol):
    """The other side of an app."""

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        """Ask for something; returns the answer.

        Raises: Refused: it was not done, or nobody knows because no answer came in time.
        """
        ...

    def tell(self, name: str, args: dict[str, Any]) -> None:
        """Let it know something. May be lost when the engine does not keep up."""
        ...


class Nowhere:
    """The engine of an app that is not running: what `import` sees."""

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        """Raises: Refused: always."""
        raise Refused("not-running", f"{name}: the app is not running yet")

    def tell(self, name: str, args: dict[str, Any]) -> None:
        """Forget it."""
