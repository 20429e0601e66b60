"""Tells a message's state once, however many changes led to it.

An update is told as the document is by now, not as the update left it. Of two that are read
together, because the hub was away or behind, both show what the second one made.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

from services.stream_hub.domain import Change, Decision
from services.stream_hub.domain.change import MESSAGES

_REMEMBERED: Final = 8192  # messages that were changed lately
_DIGEST: Final = 16  # bytes


class Repeats:
    """What was told of messages since one beginning. What it has seen has to be published, so
    each reading of the history begins with a new one."""

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._limit = limit
        self._told: OrderedDict[str, bytes] = OrderedDict()

    def without(self, change: Change, decision: Decision) -> Decision:
        """`decision`, or none if an update would tell everybody what was told them last."""
        if change.collection != MESSAGES or not isinstance(change.id, str):
            return decision
        before = self._told.pop(change.id, None)
        if not change.is_update or not decision.events:
            return decision
        digest = _digest(decision)
        self._told[change.id] = digest
        if len(self._told) > self._limit:
            self._told.popitem(last=False)
        return Decision(told=decision.told, skipped="repeated") if digest == before else decision


def _digest(decision: Decision) -> bytes:
    found = hashlib.blake2b(digest_size=_DIGEST)
    for event in decision.events:
        found.update(event.audience.encode())
        found.update(event.payload)
    return found.digest()
