"""Telling the audit log what was done, from any service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final, Literal, TypeAlias

from hubbub.clock import Clock
from hubbub.contracts.base import Event
from hubbub.contracts.events import Audited
from hubbub.errors import HubbubError
from hubbub.ids import UserId
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

Publish: TypeAlias = Callable[[Event], Awaitable[None]]
"""Tells other services of an event: `bus.publish`."""

LONGEST: Final = 256
"""Characters of a text in the details; longer ones are cut."""


class Auditor:
    """Tells the audit log of deeds. Whoever does them has succeeded before."""

    def __init__(self, publish: Publish, clock: Clock) -> None:
        self._publish = publish
        self._clock = clock

    async def tell(
        self,
        action: str,
        *,
        actor: UserId | None,
        target: str,
        result: Literal["ok", "refused"] = "ok",
        **details: Any,
    ) -> None:
        """Tell of one deed. Never fails: it is done, and cannot be undone for want of a log."""
        event = Audited(
            at=datetime.fromtimestamp(int(self._clock.time() * 1000) / 1000, UTC),
            actor=actor,
            action=action,
            target=target,
            result=result,
            details={name: _short(value) for name, value in details.items()},
        )
        try:
            await self._publish(event)
        except HubbubError:
            # The log of the process is what is left.
            log.error("audit_not_told", action=action, actor=actor, target=target)  # noqa: TRY400


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST:
        return value[:LONGEST] + "…"
    return value
