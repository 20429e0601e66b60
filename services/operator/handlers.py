"""What kopf calls: somebody saw an object, somebody needs to know how to reach the API server.

Only plain events are handled. Timers and daemons of kopf, and handlers of deletions, would put a
finalizer on each pool, which then could not go while the operator is away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from services.operator.resources import GROUP, POOLS, VERSION

Seen = Callable[[str, int | None], None]
"""Called with the name and generation of a pool."""
LogIn = Callable[[], Awaitable[kopf.AiohttpSession]]


def registry(*, seen: Seen, log_in: LogIn) -> kopf.OperatorRegistry:
    """The handlers of one operator."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def on_login(**_: Any) -> kopf.AiohttpSession:
        return await log_in()

    @kopf.on.event(GROUP, VERSION, POOLS, registry=handlers)
    async def on_pool(name: str, meta: kopf.Meta, **_: Any) -> None:
        seen(name, meta.get("generation"))

    return handlers
