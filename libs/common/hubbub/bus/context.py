"""What a call in progress knows of the request that caused it.

The bus sets it for every method it runs and every listener it calls, and hands it on with the
calls made from there. Doors (DDP, REST) open one with `call_context`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(slots=True)
class CallContext:
    """The request that the current task works for. Read it, do not change it: it is shared by
    everything done for the request. (Not frozen, because that makes creating one four times as
    slow, once per call.)"""

    request_id: str | None = None
    """Given by the door where the request came in; ties log lines of all services together."""
    user_id: str | None = None
    """Who asks, if somebody is logged in. Told, not proven: services decide by arguments."""
    origin: str | None = None
    """Network address of the client and, behind a space, how it calls itself; for records."""
    deadline: float | None = None
    """When the caller stops waiting, in seconds of the bus's monotonic clock."""
    depth: int = 0
    """How many calls lie between the door and here."""
    retrying: bool = False
    """The caller is already trying again, so nobody below does."""
    caller: str | None = None
    """`service/instance` of the process that called."""
    trace_parent: str | None = None
    trace_state: str | None = None


_NOBODY = CallContext()
_current: ContextVar[CallContext] = ContextVar("hubbub_call_context", default=_NOBODY)

current_call = _current.get
"""The context of the running task; an empty one outside any request."""

set_current_call = _current.set
"""Replace the context of the running task. For the bus; others use `call_context`."""


@contextmanager
def call_context(
    *,
    request_id: str | None = None,
    user_id: str | None = None,
    origin: str | None = None,
    deadline: float | None = None,
    trace_parent: str | None = None,
) -> Iterator[CallContext]:
    """Say whose request the calls inside the block belong to.

    Args:
        deadline: moment of the bus's monotonic clock after which nobody waits any more; every
            call inside ends before it.
        trace_parent: the trace that the request came with, to hand it on.

    What is not given is kept from the surrounding context.
    """
    outer = _current.get()
    inner = replace(
        outer,
        request_id=outer.request_id if request_id is None else request_id,
        user_id=outer.user_id if user_id is None else user_id,
        origin=outer.origin if origin is None else origin,
        deadline=outer.deadline if deadline is None else deadline,
        trace_parent=outer.trace_parent if trace_parent is None else trace_parent,
    )
    token = _current.set(inner)
    try:
        yield inner
    finally:
        _current.reset(token)
