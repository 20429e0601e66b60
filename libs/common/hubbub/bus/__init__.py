"""Typed calls and events between services: a small layer over NATS, and the same in one process.

What belongs here: how a contract travels, and what happens when the other side is slow, absent
or twice. What a contract says belongs to `hubbub.contracts`, what a service does to the service.
"""

from hubbub.bus.context import CallContext, call_context, current_call
from hubbub.bus.core import Bus
from hubbub.bus.local import LocalBus
from hubbub.bus.nats import NatsBus
from hubbub.bus.settings import BusSettings

__all__ = [
    "Bus",
    "BusSettings",
    "CallContext",
    "LocalBus",
    "NatsBus",
    "call_context",
    "current_call",
]
