"""What the hub tells about itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubbub.telemetry.labels import OTHER
from hubbub.telemetry.metrics import FAN, FAST, SIZE

SHARD = "0"
"""There is one change stream; the label leaves room for more."""

_COLLECTIONS = {
    "rocketchat_message": "messages",
    "rocketchat_room": "rooms",
    "rocketchat_subscription": "subscriptions",
    "users": "users",
    "rocketchat_roles": "roles",
    "rocketchat_permissions": "permissions",
    "rocketchat_settings": "settings",
    "rocketchat__trash": "trash",
}
_OPERATIONS = frozenset({"insert", "update", "replace", "delete"})
"""Of documents; others are about whole collections, and rare."""

TERM_ENDS = (
    "stopped",
    "expired",
    "taken",
    "superseded",
    "cut_off",
    "stuck",
    "missing",
    "recreated",
    "unfenced",
    "truncated",
    "rewritten",
    "expired_log",
    "overtaken",
    "wedged",
    "failed",
)
"""Why a term ends. `stopped`: the process was told to. The lease ran out (`expired`) or is
somebody else's (`taken`), the log has a later leader (`superseded`), NATS (`cut_off`) or MongoDB
(`stuck`) cannot be reached from here. The others say what became of the log."""

RESYNC_REASONS = (
    "history_lost",
    "poison",
    "invalidate",
    "drop",
    "rename",
    "dropdatabase",
    "recreated",
    "truncated",
    "rewritten",
    "expired",
    "overtaken",
    "too_large",
)
"""Why clients have to fetch again."""

SILENCE = 2.0
"""Seconds without a word of the database, not even that there is nothing, that are no lag yet."""


class Lag:
    """How far behind the database the reader is."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._at_last = 0.0  # seconds behind when something was read last
        self._heard_at: float | None = None  # monotonic; None: nobody reads

    def read(self, behind: float) -> None:
        """A change was read `behind` seconds after its commit."""
        self._at_last = max(0.0, behind)
        self._heard_at = self._now()

    def caught_up(self) -> None:
        """The database said that there is nothing more."""
        self.read(0.0)

    def stopped(self) -> None:
        """Nobody reads any more."""
        self._heard_at = None

    def seconds(self) -> float:
        """The lag now: while the database is silent it grows, whatever it was before."""
        if self._heard_at is None:
            return 0.0
        silent = self._now() - self._heard_at
        return self._at_last + (silent if silent > SILENCE else 0.0)


class LogWait:
    """Since when something waits for the log."""

    def __init__(self) -> None:
        self._asked: Callable[[], float] | None = None

    def of(self, asked: Callable[[], float] | None) -> None:
        """From now on `asked` knows; None: nobody waits."""
        self._asked = asked

    def seconds(self) -> float:
        """The wait until now; 0 when nothing waits."""
        return self._asked() if self._asked is not None else 0.0


class HubMetrics:
    """The meters of one hub process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.leader = Gauge(
            "hubbub_hub_leader", "1 while this process leads.", ["shard"], registry=registry
        ).labels(SHARD)
        self.epoch = Gauge(
            "hubbub_hub_epoch", "Epoch of the last term seen here.", ["shard"], registry=registry
        ).labels(SHARD)
        self.lease_failures = Counter(
            "hubbub_hub_lease_failures",
            "Renewals that failed, and terms that ended against the will of the leader.",
            ["shard", "reason"],
            registry=registry,
        )
        for reason in ("acquire", "renew", "expired"):  # so that the first one is an increase
            self.lease_failures.labels(SHARD, reason)
        self.terms_ended = Counter(
            "hubbub_hub_terms_ended",
            "Times that this process stopped leading, by why.",
            ["reason"],
            registry=registry,
        )
        for reason in TERM_ENDS:
            self.terms_ended.labels(reason)
        self.changes = Counter(
            "hubbub_hub_changes",
            "Changes of the database that were read.",
            ["collection", "op"],
            registry=registry,
        )
        self.published = Counter(
            "hubbub_hub_published",
            "Events that the log acknowledged.",
            ["stream"],
            registry=registry,
        )
        self.skipped = Counter(
            "hubbub_hub_skipped",
            "Changes without events, and events that could not be sent.",
            ["reason"],
            registry=registry,
        )
        self.lag = Lag()
        Gauge(
            "hubbub_hub_lag_seconds",
            "Age of the last change when it was read, and since when the database is silent;"
            " 0 while there is nothing to read, and on a standby.",
            registry=registry,
        ).set_function(self.lag.seconds)
        self.checkpoint_age = Gauge(
            "hubbub_hub_checkpoint_age_seconds",
            "Time since the checkpoint was saved.",
            registry=registry,
        )
        self.publish_duration = Histogram(
            "hubbub_hub_publish_duration_seconds",
            "From reading a change to the acknowledgement of its last event.",
            buckets=FAST,
            registry=registry,
        )
        self.batch_events = Histogram(
            "hubbub_hub_batch_events",
            "Changes that were decided in one go.",
            buckets=FAN,
            registry=registry,
        )
        self.event_bytes = Histogram(
            "hubbub_hub_event_bytes", "Payload of an event.", buckets=SIZE, registry=registry
        )
        self.resumes = Counter(
            "hubbub_hub_resumes",
            "How reading began or began again.",
            ["outcome"],
            registry=registry,
        )
        for outcome in ("token", "start_after", "lost"):
            self.resumes.labels(outcome)
        self.read_failures = Counter(
            "hubbub_hub_read_failures",
            "Times that the change stream broke off: nobody answered in time, the connection was"
            " lost, or the database refused.",
            ["reason"],
            registry=registry,
        )
        for reason in ("silent", "interrupted", "refused"):
            self.read_failures.labels(reason)
        self.poison = Counter(
            "hubbub_hub_poison",
            "Changes that could not be read and were passed over. Look at each one.",
            registry=registry,
        )
        self.resyncs = Counter(
            "hubbub_hub_resyncs",
            "Times that clients had to be told to fetch again: all of them, or where one event was"
            " too large those of its audience.",
            ["reason"],
            registry=registry,
        )
        for reason in RESYNC_REASONS:
            self.resyncs.labels(reason)
        self.log_wait = LogWait()
        Gauge(
            "hubbub_hub_log_wait_seconds",
            "Since when the log has taken nothing though something waits for it, the beginning of"
            " a term included; 0 while nothing waits, and on a standby.",
            registry=registry,
        ).set_function(self.log_wait.seconds)
        self.refusals = Counter(
            "hubbub_hub_log_refusals",
            "Publishes that the log did not take: it had something else before them, it has no"
            " room, nobody took them, or no answer came in time.",
            ["reason"],
            registry=registry,
        )
        for reason in ("conflict", "storage", "unavailable", "late"):
            self.refusals.labels(reason)
        self.sequence_conflicts = Counter(
            "hubbub_hub_sequence_conflicts",
            "Publishes that the log refused because something else came before them.",
            registry=registry,
        )
        self.recoveries = Counter(
            "hubbub_hub_recoveries",
            "Times that the publisher compared itself with the log.",
            registry=registry,
        )
        self.oplog_window = Gauge(
            "hubbub_hub_oplog_window_seconds",
            "How far back the database's history reaches: how long all hubs may be away.",
            registry=registry,
        )

        self._streams: dict[str, Counter] = {}
        self._changes: dict[tuple[str, str], Counter] = {}

    def count_published(self, stream: str, size: int) -> None:
        """Count one event that the log has, with a payload of `size` bytes."""
        counter = self._streams.get(stream)
        if counter is None:
            counter = self._streams[stream] = self.published.labels(stream)
        counter.inc()
        self.event_bytes.observe(size)

    def count_change(self, collection: str, operation: str) -> None:
        """Count one change read."""
        known = operation if operation in _OPERATIONS else OTHER
        place = _COLLECTIONS.get(collection, OTHER)
        counter = self._changes.get((place, known))
        if counter is None:
            counter = self._changes[place, known] = self.changes.labels(place, known)
        counter.inc()
