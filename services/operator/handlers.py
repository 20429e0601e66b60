"""What kopf calls: somebody saw an object, somebody needs to know how to reach the API server.

Only plain events are handled. Timers and daemons of kopf, and handlers of deletions, would put a
finalizer on each pool, which then could not go while the operator is away. Apps have one, which
is put there and taken away by the passes over them: kopf would do so before it is known whether
there is anything to take back.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import Any

import kopf

from services.operator.declared import APPS
from services.operator.resources import GROUP, POOLS, VERSION

Seen = Callable[[str, Hashable], None]
"""Called with the name of an object, and what is another one as soon as somebody changed it."""
LogIn = Callable[[], Awaitable[kopf.AiohttpSession]]


def registry(*, seen: Mapping[str, Seen], log_in: LogIn) -> kopf.OperatorRegistry:
    """The handlers of one operator."""
    handlers = kopf.OperatorRegistry()

    @kopf.on.login(registry=handlers)
    async def on_login(**_: Any) -> kopf.AiohttpSession:
        return await log_in()

    if POOLS in seen:

        @kopf.on.event(GROUP, VERSION, POOLS, registry=handlers)
        async def on_pool(name: str, meta: kopf.Meta, **_: Any) -> None:
            seen[POOLS](name, meta.get("generation"))

    if APPS in seen:

        @kopf.on.event(GROUP, VERSION, APPS, registry=handlers)
        async def on_app(name: str, meta: kopf.Meta, **_: Any) -> None:
            # One of the same name may have been made since.
            seen[APPS](name, (meta.get("uid"), meta.get("generation")))

    return handlers
