"""Meters of the account service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubbub.telemetry.metrics import FAST

Variant = Literal["resume", "password", "unknown"]
Outcome = Literal[
    "ok", "refused", "expired", "blocked", "not-allowed", "malformed", "unavailable", "error"
]


class AccountMetrics:
    """What the service tells about logins and password hashing."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._logins = Counter(
            "hubbub_account_logins_total",
            "Logins, by variant and outcome.",
            ["variant", "outcome"],
            registry=registry,
        )
        self.password_wait = Histogram(
            "hubbub_account_password_wait_seconds",
            "How long a password waited for a thread.",
            buckets=FAST,
            registry=registry,
        )
        self._waiting = Gauge(
            "hubbub_account_password_waiting", "Passwords waiting for a thread.", registry=registry
        )
        self.password_refused = Counter(
            "hubbub_account_password_refused_total",
            "Passwords not checked because too many waited.",
            registry=registry,
        )
        self.registrations = Counter(
            "hubbub_account_registrations_total", "Accounts made.", ["via"], registry=registry
        )
        self.tokens_expired = Counter(
            "hubbub_account_expired_cleanups_total",
            "Users whose expired tokens were removed.",
            registry=registry,
        )
        self.audit_lost = Counter(
            "hubbub_account_audit_lost_total",
            "Deeds that could not be written into the audit log.",
            registry=registry,
        )
        self.default_rooms_pending = Gauge(
            "hubbub_account_default_rooms_pending",
            "New users that still have to join the default rooms (at most 100 are seen).",
            registry=registry,
        )

    def logged_in(self, variant: Variant, outcome: Outcome) -> None:
        """Count one login, good or not."""
        self._logins.labels(variant, outcome).inc()

    def count_waiting(self, count: Callable[[], int]) -> None:
        """Ask `count` for the number of waiting passwords whenever somebody reads the metrics."""
        self._waiting.set_function(count)
