"""What all queries of the apps engine have in common."""

from __future__ import annotations

from typing import Final

QUERY_TIMEOUT: Final = 4.0
"""Seconds that the queries of one call may take."""
