"""Meters of the apps engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubbub.contracts.apps import AppStatus
from hubbub.telemetry.labels import OTHER, Allotment
from hubbub.telemetry.metrics import SLOW

Asked = Literal["start", "command", "hook", "event", "job", "request", "settings"]
"""What an app is asked for."""
Outcome = Literal["ok", "error", "timeout", "gone", "dropped"]
"""How it went: answered, answered with an error or with nonsense, not in time, the process ended
or was not there, or was not asked because it was too far behind."""

CallOutcome = Literal["ok", "failed", "refused", "gone", "late"]
"""How a try of an outgoing webhook went: answered with success, answered otherwise or not at all,
not made because of its address, never wanted again, or not made because too many wait."""
HookOutcome = Literal["posted", "empty", "refused", "unknown"]
"""What became of what came to an incoming webhook."""

_APPS = 10  # apps that have series of their own
_ASKED = 40  # combinations of app, what was asked and outcome that have


class AppsMetrics:
    """What the engine tells about apps."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._apps = Gauge("hubbub_apps", "Installed apps, by state.", ["state"], registry=registry)
        self._calls = Counter(
            "hubbub_app_calls_total",
            "Calls into apps, by what they were asked for and how it ended.",
            ["app", "hook", "outcome"],
            registry=registry,
        )
        self._durations = Histogram(
            "hubbub_app_call_duration_seconds",
            "How long calls into apps took, failed ones included.",
            ["hook"],
            buckets=SLOW,
            registry=registry,
        )
        self._timeouts = Counter(
            "hubbub_app_timeouts_total",
            "Calls that an app did not answer in time.",
            ["app"],
            registry=registry,
        )
        self._restarts = Counter(
            "hubbub_app_restarts_total",
            "Times that the process of an app was started again after it had ended.",
            ["app"],
            registry=registry,
        )
        self._named = Allotment(_APPS)
        self._asked = Allotment(_ASKED)

    def counted(self, states: Mapping[AppStatus, int]) -> None:
        """How many apps there are in each state."""
        for state in AppStatus:
            self._apps.labels(state.value).set(states.get(state, 0))

    def asked(self, app_id: str, what: Asked, outcome: Outcome, seconds: float) -> None:
        """Count a call into an app."""
        shown = app_id if self._asked.has((app_id, what, outcome)) else OTHER
        self._calls.labels(shown, what, outcome).inc()
        self._durations.labels(what).observe(seconds)
        if outcome == "timeout":
            self._timeouts.labels(self._shown(app_id)).inc()

    def restarted(self, app_id: str) -> None:
        """Count a process that was started again."""
        self._restarts.labels(self._shown(app_id)).inc()

    def _shown(self, app_id: str) -> str:
        return app_id if self._named.has(app_id) else OTHER


class SendingMetrics:
    """What apps and integrations say."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._sent = Counter(
            "hubbub_messages_sent_total",
            "Messages accepted, by the door they came through.",
            ["via"],
            registry=registry,
        )

    def by_app(self) -> None:
        """Count a message of an app."""
        self._sent.labels("app").inc()

    def by_webhook(self) -> None:
        """Count a message of an integration."""
        self._sent.labels("webhook").inc()


class WebhookMetrics:
    """What the engine tells about integrations."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._calls = Counter(
            "hubbub_webhook_calls_total",
            "Tries to call servers outside for outgoing webhooks, by how they ended.",
            ["outcome"],
            registry=registry,
        )
        self._durations = Histogram(
            "hubbub_webhook_call_duration_seconds",
            "How long servers outside took, those that gave no answer included.",
            buckets=SLOW,
            registry=registry,
        )
        self._deliveries = Counter(
            "hubbub_webhook_deliveries_total",
            "What came to incoming webhooks, by what became of it.",
            ["outcome"],
            registry=registry,
        )

    def called(self, outcome: CallOutcome, seconds: float | None = None) -> None:
        """Count a try, which took so long if it was made."""
        self._calls.labels(outcome).inc()
        if seconds is not None:
            self._durations.observe(seconds)

    def delivered(self, outcome: HookOutcome) -> None:
        """Count something that came."""
        self._deliveries.labels(outcome).inc()
