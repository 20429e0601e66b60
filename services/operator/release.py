"""Before a release goes: its apps go first, and nothing waits for an operator that is not there.

While the operator and the apps engine still run, deleting the objects removes the apps from the
engine. What is left after a while, because one of them is gone, is let go without that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from hubbub.cli.failure import Failure
from hubbub.runtime import CannotStart
from hubbub.settings import load
from services.operator.access import find_access, find_namespace
from services.operator.kubernetes import ApiError, Cluster, connected
from services.operator.settings import OperatorSettings

_LOOK_EVERY: Final = 1.0  # seconds
_TRIES: Final = 5  # to let one object go, which others may change meanwhile


@dataclass(frozen=True, slots=True)
class Released:
    """What became of the declared apps, by name."""

    removed: tuple[str, ...] = ()
    """Removed from the engine, by the operator."""
    let_go: tuple[str, ...] = ()
    """Nobody removed them in time: the engine still has them, if it has them."""


def release(within: float) -> Released:
    """Delete the declared apps of the namespace and wait so many seconds for the operator.

    Raises: Failure: Kubernetes could not be asked.
    """
    settings = load(OperatorSettings)
    find = partial(find_access, settings)

    async def do() -> Released:
        namespace = find_namespace(settings, find())
        async with connected(
            find, namespace=namespace, identity="release", timeout=settings.request_timeout
        ) as cluster:
            return await release_from(cluster, within=within)

    try:
        return asyncio.run(do())
    except (ApiError, CannotStart) as error:
        raise Failure(str(error)) from error


async def release_from(
    cluster: Cluster, *, within: float, clock: Callable[[], float] = time.monotonic
) -> Released:
    """See `release`. Raises: ApiError."""
    names = [app.metadata.name for app in await cluster.apps()]
    for name in names:
        await cluster.delete_app(name)
    until = clock() + within
    left = {app.metadata.name for app in await cluster.apps()}
    while left and clock() < until:
        await asyncio.sleep(_LOOK_EVERY)
        left = {app.metadata.name for app in await cluster.apps()}
    for name in sorted(left):
        await _let_go(cluster, name)
    return Released(tuple(sorted(set(names) - left)), tuple(sorted(left)))


async def _let_go(cluster: Cluster, name: str) -> None:
    for last in (False,) * (_TRIES - 1) + (True,):
        app = await cluster.app(name)
        if app is None:
            return
        try:
            await cluster.delete_app(name)
            await cluster.release(app)
        except ApiError:
            if last:
                raise
        else:
            return
