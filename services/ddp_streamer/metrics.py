"""The meters of a streamer.

What happens per frame is counted in a `Tally` of plain integers and moved to the meters once a
second: a labelled counter costs more than the frame it counts.
"""

from __future__ import annotations

from collections import Counter as Counting
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubbub.telemetry.metrics import FAN, FAST, SLOW

MESSAGE_TYPES: Final = frozenset(
    {"sub", "unsub", "method", "ping", "pong", "changed", "result", "ready", "nosub", "other"}
)
_DURATIONS = (1.0, 10.0, 60.0, 300.0, 1800.0, 7200.0, 28800.0, 86400.0)


class Tally:
    """What has happened since the last transfer to the meters; touched per frame."""

    __slots__ = ("bytes_in", "bytes_out", "dropped_slow", "messages_in", "messages_out", "shared")

    def __init__(self) -> None:
        self.messages_in: Counting[str] = Counting()
        self.messages_out: Counting[str] = Counting()
        self.shared = 0  # shared frames queued to sockets
        self.bytes_in = 0
        self.bytes_out = 0
        self.dropped_slow = 0


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
            "connection_duration_seconds", "How long connections lasted.", _DURATIONS
        )
        self.bad_input = counter("bad_input", "Input that had to be refused.", "kind")

        # traffic
        self.messages = counter("messages", "DDP messages.", "direction", "type")
        self.bytes = counter("bytes", "Bytes on sockets.", "direction")
        self.deliveries = counter("deliveries", "Stream frames queued to sockets.")
        self.deliveries_by_stream = counter(
            "deliveries_by_stream", "Stream frames queued to sockets, by stream.", "stream"
        )
        self.dropped = counter("dropped", "Frames not queued to a socket.", "reason")
        self.send_queue_bytes = gauge(
            "send_queue_bytes", "Bytes waiting for clients that do not keep up.", "agg"
        )
        self.slow_clients = gauge("slow_clients", "Connections over the soft limit of backlog.")

        # sessions
        self.logins = counter("logins", "Logins.", "method", "outcome")
        self.subscriptions = gauge("subscriptions", "Open DDP subscriptions.", "stream")
        self.ratelimited = counter("ratelimited", "Calls refused by a rate limit.", "rule")

        # fan-out
        self.distinct_topics = gauge("distinct_topics", "NATS subscriptions held.")
        self.events_received = counter("events_received", "Events from NATS.", "stream")
        self.filtered = counter("filtered", "Deliveries that were not made, by reason.", "reason")
        self.fanout_recipients = histogram("fanout_recipients", "Sockets per event.", FAN)
        self.fanout_duration = histogram(
            "fanout_duration_seconds", "From the first to the last socket of an event.", FAST
        )
        self.delivery_latency = Histogram(
            "hubbub_delivery_latency_seconds",
            "Age of an event at each stage, for one sampled recipient.",
            ["stage"],
            buckets=FAST,
            registry=registry,
        )
        self.clock_skew = Counter(
            "hubbub_clock_skew_observations",
            "Latencies that came out negative.",
            registry=registry,
        )

        # continuity
        self.recoveries = counter("recoveries", "Replays for returning clients.", "outcome")
        self.recovered_events = histogram("recovered_events", "Events per replay.", FAN)
        self.gaps_detected = counter("gaps_detected", "Holes seen in live sequences.")
        self.drain_seconds = histogram("drain_seconds", "How long drains took.", SLOW)
        self.drain_forced = counter("drain_forced", "Connections cut at the end of a drain.")
        self.drain_remaining = gauge("drain_remaining", "Connections left in a drain.")

        self.tally = Tally()
        self._in = {name: self.messages.labels("in", name) for name in MESSAGE_TYPES}
        self._out = {name: self.messages.labels("out", name) for name in MESSAGE_TYPES}
        self._bytes_in = self.bytes.labels("in")
        self._bytes_out = self.bytes.labels("out")
        self._dropped_slow = self.dropped.labels("slow_client")

    def transfer(self) -> None:
        """Move the tally into the meters; called once a second and at the end."""
        tally = self.tally
        for counts, children in ((tally.messages_in, self._in), (tally.messages_out, self._out)):
            for name, count in counts.items():
                children[name if name in MESSAGE_TYPES else "other"].inc(count)
            counts.clear()
        if tally.shared:
            self.deliveries.inc(tally.shared)
            self._out["changed"].inc(tally.shared)
        self._bytes_in.inc(tally.bytes_in)
        self._bytes_out.inc(tally.bytes_out)
        self._dropped_slow.inc(tally.dropped_slow)
        tally.shared = tally.bytes_in = tally.bytes_out = tally.dropped_slow = 0
