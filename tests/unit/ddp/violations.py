"""Catching protocol violations by their close code."""

from __future__ import annotations

from collections.abc import Callable

from hubbub.ddp.messages import ProtocolViolation


def violation_code(attempt: Callable[[], object]) -> int | None:
    """The close code that `attempt` ends with, None if it succeeds; other errors escape."""
    try:
        attempt()
    except ProtocolViolation as violation:
        return violation.code
    return None
