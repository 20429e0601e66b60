"""What a person reads when everything is ready. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Running:
    """One process of the summary."""

    name: str
    pid: int
    address: str  # of its operations port, or of the server itself


def summary(
    *, url: str, username: str, password: str, running: Sequence[Running], logs: Path
) -> str:
    """The address, how to sign in, and what runs where."""
    width = max(len(one.name) for one in running)
    table = [f"  {one.name:<{width}}  {one.pid:>7}  {one.address}" for one in running]
    return "\n".join(
        [
            "",
            f"Hubbub is ready: {url}",
            "",
            f"  sign in as  {username}",
            f"  password    {password}",
            "",
            f"  {'process':<{width}}  {'pid':>7}  operations port: /readyz /metrics /version",
            *table,
            "",
            "  rate limits are off here (HUBBUB_STREAMER_RATE_…, HUBBUB_GATEWAY_RATE_LIMIT)",
            f"  logs: {logs}/<process>.log      Ctrl-C stops everything",
            "",
        ]
    )
