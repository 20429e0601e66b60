"""NATS's service protocol (ADR-32): how `nats micro ls` and `hubbub services` find services.

Each served contract answers on `$SRV.PING|INFO|STATS`, with and without its name and instance.
nats-py's own `micro` package would put its endpoints between every call and its handler; these
three subjects are all there is to it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from hubbub.bus.callee import Callee, Endpoint
from hubbub.bus.served import summary_of
from hubbub.bus.subjects import call_subject, instance_subject
from hubbub.clock import Clock
from hubbub.contracts.base import Contract
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.version import revision, version

log = get_logger(__name__)

Verb = Literal["PING", "INFO", "STATS"]

_TYPES: dict[Verb, str] = {
    "PING": "io.nats.micro.v1.ping_response",
    "INFO": "io.nats.micro.v1.info_response",
    "STATS": "io.nats.micro.v1.stats_response",
}
_SEMANTIC_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)([-.+]?.*)")
_NOT_IN_VERSIONS = re.compile(r"[^0-9A-Za-z-]+")


class Announcement:
    """One served contract as others see it."""

    def __init__(
        self,
        callee: Callee,
        contract: type[Contract],
        *,
        instance: str,
        process: str,
        group: bool = True,
        clock: Clock,
        answer: Callable[[bytes, bytes], None],
    ) -> None:
        """
        Args:
            process: name of the process it lives in, which may serve several contracts.
            group: False when only this instance can be called, not any of several.
            answer: sends (reply subject, body).
        """
        self._callee = callee
        self._contract = contract
        self._instance = instance
        self._process = process
        self._group = group
        self._answer = answer
        self._clock = clock
        self._started = datetime.fromtimestamp(clock.time(), UTC)
        self._stopped = False
        name = contract.contract_name
        self.subjects = ("$SRV.*", f"$SRV.*.{name}", f"$SRV.*.{name}.{instance}")
        self._makers: dict[bytes, Callable[[], dict[str, Any]]] = {
            b"PING": self._ping,
            b"INFO": self._info,
            b"STATS": self._stats,
        }

    def stop(self) -> None:
        """Answer no more: the service is leaving."""
        self._stopped = True

    def receive(self, subject: bytes, reply: bytes, payload: bytes, headers: bytes | None) -> None:
        """Somebody asks."""
        make = self._makers.get(subject.split(b".")[1])
        if make is None or not reply or self._stopped:
            return
        self._answer(reply, orjson.dumps(make()))

    def _identity(self, verb: Verb) -> dict[str, Any]:
        return {
            "type": _TYPES[verb],
            "name": self._contract.contract_name,
            "id": self._instance,
            "version": semantic_version(version()),
            "metadata": {"process": self._process, "revision": revision()},
        }

    def _ping(self) -> dict[str, Any]:
        return self._identity("PING")

    def _info(self) -> dict[str, Any]:
        return {
            **self._identity("INFO"),
            "description": summary_of(self._contract.__doc__),
            "endpoints": [
                {**self._endpoint_identity(name), "metadata": self._endpoint_metadata(endpoint)}
                for name, endpoint in self._callee.endpoints.items()
            ],
        }

    def _stats(self) -> dict[str, Any]:
        return {
            **self._identity("STATS"),
            "started": self._started.isoformat().replace("+00:00", "Z"),
            "endpoints": [
                {**self._endpoint_identity(name), **_endpoint_stats(endpoint)}
                for name, endpoint in self._callee.endpoints.items()
            ],
        }

    def _endpoint_identity(self, method: str) -> dict[str, str]:
        service = self._contract.contract_name
        if not self._group:
            subject = instance_subject(self._instance, service, method)
            return {"name": method, "subject": subject, "queue_group": ""}
        return {
            "name": method,
            "subject": call_subject(service, method),
            "queue_group": service,
        }

    def _endpoint_metadata(self, endpoint: Endpoint) -> dict[str, str]:
        policy = endpoint.policy
        function = self._contract.contract_actions[endpoint.tally.method].function
        return {
            "signature": _signature(endpoint),
            "doc": summary_of(function.__doc__),
            "idempotent": str(policy.idempotent).lower(),
            "timeout": f"{policy.timeout:g}",
            "attempts": str(policy.attempts),
            "running": str(policy.running),
            "waiting": str(policy.waiting),
        }


def _signature(endpoint: Endpoint) -> str:
    signature = endpoint.codec.signature
    parameters = list(signature.parameters.values())[1:]
    return str(signature.replace(parameters=parameters)).replace("'", "")


def _endpoint_stats(endpoint: Endpoint) -> dict[str, Any]:
    tally = endpoint.tally
    requests = tally.requests
    processing = int(tally.durations.total * 1e9)
    return {
        "num_requests": requests,
        "num_errors": tally.errors,
        "last_error": tally.last_error,
        "processing_time": processing,
        "average_processing_time": processing // requests if requests else 0,
        "data": {
            "p50": tally.durations.quantile(0.5),
            "p99": tally.durations.quantile(0.99),
            "running": endpoint.bulkhead.running,
            "waiting": endpoint.bulkhead.waiting,
            "outcomes": dict(tally.outcomes),
        },
    }


def semantic_version(text: str) -> str:
    """A version as the protocol demands it: `1.2.3.dev4` becomes `1.2.3-dev4`."""
    found = _SEMANTIC_VERSION.fullmatch(text)
    if found is None:
        return "0.0.0"
    major, minor, patch, rest = found.groups()
    suffix = _NOT_IN_VERSIONS.sub("-", rest).strip("-")
    return f"{int(major)}.{int(minor)}.{int(patch)}" + (f"-{suffix}" if suffix else "")


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """One method of a found instance."""

    name: str
    subject: str
    metadata: dict[str, str]
    requests: int = 0
    errors: int = 0
    average_seconds: float = 0.0
    last_error: str = ""
    data: dict[str, Any] = field(default_factory=dict)
    """What Hubbub adds: `p50` and `p99` in seconds, `running`, `waiting`, `outcomes`."""


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """One found instance of a service."""

    name: str
    instance: str
    version: str
    description: str
    metadata: dict[str, str]
    started: datetime | None
    endpoints: list[EndpointInfo]


async def services(
    client: Client, wait: float = 0.5, *, name: str | None = None
) -> list[ServiceInfo]:
    """Ask who is there, and listen for `wait` seconds.

    Also finds services that are not Hubbub's but speak the same protocol.

    Args:
        name: only instances of this service.
    """
    suffix = "" if name is None else f".{name}"
    infos, stats = await asyncio.gather(
        _ask(client, f"$SRV.INFO{suffix}", wait), _ask(client, f"$SRV.STATS{suffix}", wait)
    )
    known = {(answer.get("name"), answer.get("id")): answer for answer in stats}
    found = [
        _merged(info, known.get((info.get("name"), info.get("id")), {}))
        for info in infos
        if info.get("type") == _TYPES["INFO"]
    ]
    return sorted(found, key=lambda service: (service.name, service.instance))


async def instances(client: Client, name: str, wait: float = 0.3) -> list[str]:
    """The instances of a service that answer within `wait` seconds, sorted: whom
    `bus.proxy(…, to=instance)` can name."""
    answers = await _ask(client, f"$SRV.PING.{name}", wait)
    return sorted({str(answer["id"]) for answer in answers if answer.get("id")})


async def _ask(client: Client, subject: str, wait: float) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []

    async def received(message: Msg) -> None:
        try:
            answer = orjson.loads(message.data)
        except orjson.JSONDecodeError:
            log.debug("discovery_answer_unreadable", subject=subject)
            return
        if isinstance(answer, dict):
            answers.append(answer)

    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox, cb=received)
    try:
        await client.publish(subject, b"", reply=inbox)
        await asyncio.sleep(wait)
    finally:
        await subscription.unsubscribe()
    return answers


def _merged(info: dict[str, Any], stats: dict[str, Any]) -> ServiceInfo:
    figures = {entry.get("name"): entry for entry in stats.get("endpoints") or []}
    endpoints = [
        _endpoint(entry, figures.get(entry.get("name"), {}))
        for entry in info.get("endpoints") or []
    ]
    return ServiceInfo(
        name=str(info.get("name", "")),
        instance=str(info.get("id", "")),
        version=str(info.get("version", "")),
        description=str(info.get("description", "")),
        metadata=info.get("metadata") or {},
        started=_moment(stats.get("started")),
        endpoints=endpoints,
    )


def _endpoint(entry: dict[str, Any], figures: dict[str, Any]) -> EndpointInfo:
    data = figures.get("data")
    return EndpointInfo(
        name=str(entry.get("name", "")),
        subject=str(entry.get("subject", "")),
        metadata=entry.get("metadata") or {},
        requests=int(figures.get("num_requests", 0)),
        errors=int(figures.get("num_errors", 0)),
        average_seconds=figures.get("average_processing_time", 0) / 1e9,
        last_error=str(figures.get("last_error") or ""),
        data=data if isinstance(data, dict) else {},
    )


def _moment(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None
