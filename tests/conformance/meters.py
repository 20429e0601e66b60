"""What the services of a running Hubbub have counted: calls between them, and commands."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from prometheus_client.parser import text_string_to_metric_families

from tests.conformance.conftest import Running

ON_THE_WAY: Final = ("ddp-streamer", "gateway", "messaging", "account", "authorization")
"""Services that a client's call passes through. What follows it (the hub, presence) is not."""

_CALLS: Final = "hubbub_rpc_client_requests_total"
_OF_THE_DRIVER: Final = "other"
_COMMANDS: Final = "hubbub_mongo_command_duration_seconds_count"


@dataclass(frozen=True)
class Spent:
    """What was counted between two readings."""

    calls: Counter[str]
    """`caller → callee.action`"""
    commands: Counter[str]
    """`service command`"""

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.calls - other.calls, self.commands - other.commands)


async def read(hubbub: Running) -> Spent:
    """All counters on the way, from the metrics of every process."""
    calls: Counter[str] = Counter()
    commands: Counter[str] = Counter()
    ports = [(path.stem, _ops_port(path)) for path in _logs(hubbub)]
    async with aiohttp.ClientSession() as session:
        texts = await asyncio.gather(*(_metrics(session, port) for _, port in ports))
    for (process, _), text in zip(ports, texts, strict=True):
        service = process.rstrip("-0123456789")
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = sample.labels
                if sample.name == _CALLS:
                    callee = f"{labels['service']}.{labels['method']}"
                    calls[f"{service} → {callee}"] += int(sample.value)
                elif sample.name == _COMMANDS and labels["command"] != _OF_THE_DRIVER:
                    commands[f"{service} {labels['command']}"] += int(sample.value)
    return Spent(calls, commands)


def _logs(hubbub: Running) -> list[Path]:
    return [
        path
        for path in sorted((hubbub.data / "log").glob("*.log"))
        if path.stem.rstrip("-0123456789") in ON_THE_WAY
    ]


def _ops_port(log: Path) -> int:
    """Where the process that wrote this log tells its metrics; the last one started counts."""
    told = [json.loads(line) for line in log.read_text().splitlines() if '"ops_listening"' in line]
    port: int = told[-1]["port"]
    return port


async def _metrics(session: aiohttp.ClientSession, port: int) -> str:
    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200
        return await answer.text()
