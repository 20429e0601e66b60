"""The meters of a streamer.

What happens per frame is counted in a `Tally` and moved to the meters twice a second; levels are
read when somebody asks for them.
"""

from __future__ import annotations

from collections import Counter as Counting
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeVar, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubbub.telemetry.histograms import QuickHistogram
from hubbub.telemetry.metrics import FAN, FAST, SLOW
from services.ddp_streamer.positions import Missed
from services.ddp_streamer.tally import (
    DELIVERED_STREAMS,
    MESSAGE_TYPES,
    Dropped,
    Filtered,
    Recovery,
    Tally,
)

LoginMethod = Literal["resume", "password", "session", "other"]
"""`session`: the client named its earlier DDP session in `connect`."""
LoginOutcome = Literal["ok", "refused", "unavailable"]
Stage = Literal["commit_to_hub", "hub_to_streamer", "streamer_to_socket", "total"]

STAGES: Final[tuple[Stage, ...]] = get_args(Stage)
_LIFETIMES = (1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0, 86400.0)  # seconds

_LOGIN_METHODS: Final[tuple[LoginMethod, ...]] = get_args(LoginMethod)
_LOGIN_OUTCOMES: Final[tuple[LoginOutcome, ...]] = get_args(LoginOutcome)

K = TypeVar("K", bound=str)


class StreamerMetrics:
    """All meters of a streamer. Children that are used often are bound once."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"hubbub_streamer_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"hubbub_streamer_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"hubbub_streamer_{name}", text, buckets=buckets, registry=registry)

        # connections
        self.connections = gauge("connections", "Open WebSockets.")
        self.sessions = gauge("sessions", "Connections after the DDP connect.", "auth")
        self.connection_limit = gauge("connection_limit", "Soft limit of open WebSockets.")
        self.handshakes = counter("handshakes", "Upgrade requests.", "outcome")
        self.disconnects = counter("disconnects", "Connections that ended, by reason.", "reason")
        self.connection_duration = histogram(
            "connection_duration_seconds", "How long connections lasted.", _LIFETIMES
        )
        self.bad_input = counter("bad_input", "Input that had to be refused.", "kind")

        # traffic
        self.messages = counter("messages", "DDP messages.", "direction", "type")
        self.bytes = counter(
            "bytes",
            "Bytes on sockets, by the message that they carry.",
            "direction",
            "type",
        )
        self.deliveries = counter("deliveries", "Stream frames queued to sockets.")
        self.deliveries_by_stream = counter(
            "deliveries_by_stream", "Stream frames queued to sockets, by stream.", "stream"
        )
        self.dropped = counter("dropped", "What somebody was to get and did not.", "reason")
        self.send_queue_bytes = gauge(
            "send_queue_bytes", "Bytes waiting for clients that do not keep up.", "agg"
        )
        self.slow_clients = gauge("slow_clients", "Connections over the soft limit of backlog.")

        # sessions
        self.logins = counter("logins", "Logins.", "method", "outcome")
        self.login_rate = gauge("login_rate", "Logins that may begin per second.")
        self.logins_waiting = gauge("logins_waiting", "Logins in line.")
        self.shedding = gauge(
            "shedding", "What is done without for load: 0 nothing, 1 presence, 2 typing too."
        )
        self.subscriptions = gauge("subscriptions", "Open DDP subscriptions.", "stream")
        self.ratelimited = counter("ratelimited", "Calls refused by a rate limit.", "rule")
        self.sent = Counter(
            "hubbub_messages_sent_total",
            "Messages accepted, by the door they came through.",
            ["via"],
            registry=registry,
        ).labels("ddp")

        # fan-out
        self.distinct_topics = gauge("distinct_topics", "NATS subscriptions held.")
        self.events_received = counter("events_received", "Events from NATS.", "stream")
        self.filtered = counter(
            "filtered", "Events and deliveries that nobody was to get, by reason.", "reason"
        )
        self.fanout_recipients = QuickHistogram(
            "hubbub_streamer_fanout_recipients", "Sockets per event.", FAN, registry
        )[""]
        self.fanout_duration = QuickHistogram(
            "hubbub_streamer_fanout_duration_seconds",
            "From the first to the last socket of an event.",
            FAST,
            registry,
        )[""]
        self._latency = QuickHistogram(
            "hubbub_delivery_latency_seconds",
            "Age of an event at each stage, for one recipient of it.",
            FAST,
            registry,
            label="stage",
            values=STAGES,
        )
        self._clock_skew = Counter(
            "hubbub_clock_skew_observations_total",
            "Latencies that came out negative.",
            registry=registry,
        )

        # continuity
        self._recoveries = counter(
            "recoveries", "Times that events were read from the log, by how it ended.", "outcome"
        )
        self._recovered_events = histogram("recovered_events", "Events read at a time.", FAN)
        self._client_recoveries = counter(
            "client_recoveries",
            "Subscriptions of clients that say where they were, by whether they got all that"
            " they missed.",
            "outcome",
        )
        self.replayed = counter("replayed", "Frames that such clients had missed and were given.")
        self.gaps_detected = counter("gaps_detected", "Holes seen in live sequences.")
        self.drain_seconds = histogram("drain_seconds", "How long drains took.", SLOW)
        self.drain_forced = counter("drain_forced", "Connections cut at the end of a drain.")
        self.drain_remaining = gauge("drain_remaining", "Connections left in a drain.")

        self.tally = Tally()
        self.delivered = 0
        """Stream frames queued to sockets since the start, as of the last transfer."""
        self._bind()

    def _bind(self) -> None:
        types = MESSAGE_TYPES
        self._in = {name: self.messages.labels("in", name) for name in types}
        self._out = {name: self.messages.labels("out", name) for name in types}
        self._bytes_in = {name: self.bytes.labels("in", name) for name in types}
        self._bytes_out = {name: self.bytes.labels("out", name) for name in types}
        self._unread = 0  # bytes of messages whose beginning was counted before
        self._unwritten = 0  # bytes queued for single clients that were not written yet
        self._events = {name: self.events_received.labels(name) for name in DELIVERED_STREAMS}
        self._by_stream = {
            name: self.deliveries_by_stream.labels(name) for name in DELIVERED_STREAMS
        }
        self._filtered = {name: self.filtered.labels(name) for name in get_args(Filtered)}
        self._dropped = {name: self.dropped.labels(name) for name in get_args(Dropped)}
        self._repaired = {name: self._recoveries.labels(name) for name in get_args(Recovery)}
        self._came_back = {
            name: self._client_recoveries.labels(name) for name in ("recovered", *get_args(Missed))
        }
        self._stages = {stage: self._latency[stage] for stage in STAGES}

    # --- levels -------------------------------------------------------------------------------

    def watch_connections(
        self,
        opened: Callable[[], int],
        signed_in: Callable[[], int],
        anonymous: Callable[[], int],
    ) -> None:
        """Ask these whenever somebody reads the metrics; called from another thread then."""
        self.connections.set_function(opened)
        self.sessions.labels("yes").set_function(signed_in)
        self.sessions.labels("no").set_function(anonymous)

    def watch_backlogs(self, backlogs: Callable[[], Iterable[int]], *, soft: int) -> None:
        """Ask for the bytes that wait for each client that does not keep up, likewise.

        Args:
            soft: bytes above which a client counts as slow.
        """
        self.send_queue_bytes.labels("sum").set_function(lambda: sum(backlogs()))
        self.send_queue_bytes.labels("max").set_function(lambda: max(backlogs(), default=0))
        self.slow_clients.set_function(lambda: sum(size > soft for size in backlogs()))

    # --- events -------------------------------------------------------------------------------

    def login(self, method: str, outcome: LoginOutcome) -> None:
        """Count one login, good or not."""
        known = method if method in _LOGIN_METHODS else "other"
        self.logins.labels(known, outcome).inc()

    def latency(self, stage: Stage, milliseconds: float) -> None:
        """Observe how long one stage took. Clocks of two machines may say less than nothing."""
        if milliseconds < 0:
            self._clock_skew.inc()
            milliseconds = 0.0
        self._stages[stage].observe(milliseconds / 1000)

    def recovery(self, outcome: Recovery, events: int) -> None:
        """Count a reading of the log that gave `events`."""
        self._repaired[outcome].inc()
        if events:
            self._recovered_events.observe(events)

    def client_recovery(self, missed: Missed | None, frames: int) -> None:
        """Count a client that came back: why it has to fetch (None: it does not), and what it
        was given."""
        self._came_back[missed or "recovered"].inc()
        self.replayed.inc(frames)

    def filter(self, reason: Filtered) -> None:
        """Count something that was rightly not delivered."""
        self.tally.filtered[reason] += 1

    def drop(self, reason: Dropped) -> None:
        """Count something that was given up."""
        self.tally.dropped[reason] += 1

    # --- the tally ----------------------------------------------------------------------------

    def transfer(self) -> None:
        """Move the tally into the meters; called twice a second and at the end."""
        tally = self.tally
        _move(tally.messages_in, self._in)
        _move(tally.messages_out, self._out)
        _move(tally.events, self._events)
        _move(tally.delivered, self._by_stream)
        _move(tally.filtered, self._filtered)
        _move(tally.dropped, self._dropped)
        self._move_bytes(tally)
        self.deliveries.inc(tally.shared)
        self._out["changed"].inc(tally.shared)
        self.delivered += tally.shared
        tally.shared = 0

    def _move_bytes(self, tally: Tally) -> None:
        rest = tally.bytes_in - tally.bytes_in_by_type.total() - self._unread
        self._unread = max(0, -rest)
        self._bytes_in["other"].inc(max(0, rest))
        _move(tally.bytes_in_by_type, self._bytes_in)
        # Shared frames are not measured one by one: they are all that was written besides.
        shared = tally.bytes_out - tally.bytes_out_by_type.total() - self._unwritten
        self._unwritten = max(0, -shared)
        self._bytes_out["changed"].inc(max(0, shared))
        _move(tally.bytes_out_by_type, self._bytes_out)
        tally.bytes_in = tally.bytes_out = 0


def _move(counts: Counting[K], children: Mapping[str, Counter]) -> None:
    for name, count in counts.items():
        children[name if name in children else "other"].inc(count)
    counts.clear()
