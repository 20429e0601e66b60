"""Meters of the push service."""

from __future__ import annotations

from typing import Literal

from prometheus_client import CollectorRegistry, Counter

from hubbub.contracts.push import DeviceKind

Reason = Literal["client", "user", "login", "limit"]
"""Why a device was forgotten: the client asked, the user or the login is gone, too many."""


class PushMetrics:
    """What the service tells about devices."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registered = Counter(
            "hubbub_push_registrations_total",
            "Devices that registered, again or for the first time.",
            ["kind"],
            registry=registry,
        )
        self._forgotten = Counter(
            "hubbub_push_forgotten_total",
            "Times that devices of a user were forgotten, by reason.",
            ["reason"],
            registry=registry,
        )

    def registered(self, kind: DeviceKind) -> None:
        """Count a registration."""
        self._registered.labels(kind.value).inc()

    def forgotten(self, reason: Reason) -> None:
        """Count a removal."""
        self._forgotten.labels(reason).inc()
