"""Waiting for a condition instead of sleeping for a state."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

T = TypeVar("T")

_PAUSE = 0.01  # seconds between two looks


@overload
async def eventually(
    predicate: Callable[[], Awaitable[T | None]], *, within: float = 20.0, what: str = ""
) -> T: ...


@overload
async def eventually(
    predicate: Callable[[], T | None], *, within: float = 20.0, what: str = ""
) -> T: ...


async def eventually(
    predicate: Callable[[], T | Awaitable[T | None] | None], *, within: float = 20.0, what: str = ""
) -> T:
    """Wait until `predicate` (plain or async) gives something true, and return that.

    Raises:
        AssertionError: it did not within `within` seconds. The text names what was awaited:
            `what`, or else the predicate's own source, and what it gave last.
    """
    last: object = "nothing: it never finished"
    try:
        async with asyncio.timeout(within):
            while True:
                answer = predicate()
                value: T | None = await answer if inspect.isawaitable(answer) else answer
                if value:
                    return value
                last = repr(value)
                await asyncio.sleep(_PAUSE)
    except TimeoutError:
        awaited = what or _source(predicate)
        raise AssertionError(f"not within {within:g} s: {awaited} (last: {last})") from None


def _source(predicate: Callable[..., object]) -> str:
    try:
        return " ".join(inspect.getsource(predicate).split())
    except (OSError, TypeError):
        return repr(predicate)
