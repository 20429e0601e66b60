"""What happened to accounts, rights and settings, written down for administrators.

Entries have `ts, actor, ip, ua, action, target, result, requestId` and sometimes `details`.
Nothing here changes or removes one; the database removes those that are old enough.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

from hubbub.bus import current_call
from hubbub.contracts.events import Audited
from hubbub.errors import Unavailable
from hubbub.ids import random_id
from hubbub.mongo import Document
from hubbub.telemetry.log import get_logger
from services.account.metrics import AccountMetrics
from services.account.store.audit import AuditStore

log = get_logger(__name__)

Result = Literal["ok", "refused"]

_LONGEST = 256  # characters of what strangers say about themselves


class Audit:
    """Writes entries."""

    def __init__(
        self, store: AuditStore, metrics: AccountMetrics, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._metrics = metrics
        self._now = now

    async def note(
        self,
        action: str,
        *,
        actor: str | None,
        target: str,
        result: Result = "ok",
        address: str = "",
        **details: Any,
    ) -> None:
        """Write down what this service did. The deed is done: that it cannot be written down is
        told to whoever runs the server, not to whoever asked for it.

        Args:
            address: the client's, where the request does not carry it.
        """
        entry = _entry(random_id(), self._now(), actor, action, target, result, details)
        if address:
            entry["ip"] = address
        try:
            await self._store.insert(entry)
        except Unavailable:
            self._metrics.audit_lost.inc()
            log.error("audit_not_written", action=action, actor=actor, target=target)  # noqa: TRY400

    async def keep(self, told: Audited) -> None:
        """Write down what another service did. Raises: Unavailable: tell it again."""
        await self._store.insert(
            _entry(
                told.id, told.at, told.actor, told.action, told.target, told.result, told.details
            )
        )


def _entry(
    entry_id: str,
    moment: datetime,
    actor: str | None,
    action: str,
    target: str,
    result: Result,
    details: dict[str, Any],
) -> Document:
    call = current_call()
    address, _, agent = (call.origin or "").partition(" ")
    entry: Document = {
        "_id": entry_id,
        "ts": moment,
        "actor": actor,
        "ip": address or None,
        "ua": agent[:_LONGEST] or None,
        "action": action,
        "target": target[:_LONGEST],
        "result": result,
        "requestId": call.request_id,
    }
    if details:
        entry["details"] = details
    return entry
