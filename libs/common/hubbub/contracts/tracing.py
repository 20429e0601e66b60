"""How a trace crosses the database: a field of the message, and what may stand in it."""

from __future__ import annotations

import re
from typing import Final

TRACE_FIELD: Final = "_trace"
"""Field of a stored message: the W3C `traceparent` of the trace that wrote it, only there when
that trace is recorded. It never leaves the server."""

_PARENT: Final = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


def valid_parent(value: object) -> str | None:
    """`value` if it is a `traceparent` and nothing else, so that a header can carry it."""
    return value if type(value) is str and _PARENT.fullmatch(value) else None
