"""What the bus counts. Plain integers in the hot path, Prometheus families when somebody asks.

`counter.inc()` and `histogram.observe()` cost 1 µs together, four times per call; adding to a
list costs a fifth of that, and the same numbers serve NATS's own statistics protocol.
Series appear with the first call of an action, so a process shows what it uses. Services have
more actions than one process may show all of: durations and failures are shown by name for the
first ones that have some, and as `other` for the rest.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from hubbub.telemetry.labels import OTHER, Allotment
from hubbub.telemetry.metrics import FAST

ClientOutcome = Literal["ok", "error", "timeout", "no_responders", "circuit_open", "cancelled"]
ServerOutcome = Literal["ok", "error", "invalid", "internal", "timeout", "expired", "shed"]
EventOutcome = Literal["ok", "error", "invalid"]
Direction = Literal["in", "out"]
Operation = Literal["publish", "subscribe"]
Outcome = TypeVar("Outcome", ClientOutcome, ServerOutcome)

_CLIENT_FAILURES = 60
"""Kinds of failure of actions of other services that are counted by the action's name; success
always is."""
_CLIENT_TIMED = 16
"""Actions of other services whose durations are shown by name."""
_SERVER_FAILURES = 120
_SERVER_TIMED = 20

_BOUNDS = [str(bound) for bound in FAST] + ["+Inf"]


class Durations:
    """A histogram over the buckets that calls and deliveries use."""

    __slots__ = ("buckets", "total")

    def __init__(self) -> None:
        self.buckets = [0] * (len(FAST) + 1)
        self.total = 0.0  # seconds

    def observe(self, seconds: float) -> None:
        """Count one duration."""
        self.buckets[bisect_left(FAST, seconds)] += 1
        self.total += seconds

    def add(self, other: Durations) -> None:
        """Count what `other` has counted, too."""
        self.buckets = [sum(pair) for pair in zip(self.buckets, other.buckets, strict=True)]
        self.total += other.total

    def cumulative(self) -> list[tuple[str, float]]:
        """The buckets as Prometheus wants them."""
        running = 0
        rows: list[tuple[str, float]] = []
        for bound, count in zip(_BOUNDS, list(self.buckets), strict=True):
            running += count
            rows.append((bound, running))
        return rows

    def quantile(self, share: float) -> float:
        """Seconds below which `share` of the durations lie, as near as the buckets tell."""
        counts = list(self.buckets)
        wanted = sum(counts) * share
        if not wanted:
            return 0.0
        running = 0
        lower = 0.0
        for bound, count in zip(FAST, counts, strict=False):
            if count and running + count >= wanted:
                return lower + (bound - lower) * (wanted - running) / count
            running += count
            lower = bound
        return lower


class ClientTally:
    """Calls of one action as their caller sees them."""

    __slots__ = ("circuit", "durations", "method", "outcomes", "retries", "service")

    def __init__(self, service: str, method: str) -> None:
        self.service = service
        self.method = method
        self.outcomes: dict[ClientOutcome, int] = dict.fromkeys(
            ("ok", "error", "timeout", "no_responders", "circuit_open", "cancelled"), 0
        )
        self.durations = Durations()
        self.retries = 0
        self.circuit: Callable[[], int] = _closed


class ServerTally:
    """Calls of one action as the instance that keeps it sees them."""

    __slots__ = ("durations", "last_error", "method", "outcomes", "running", "service")

    def __init__(self, service: str, method: str) -> None:
        self.service = service
        self.method = method
        self.outcomes: dict[ServerOutcome, int] = dict.fromkeys(
            ("ok", "error", "invalid", "internal", "timeout", "expired", "shed"), 0
        )
        self.durations = Durations()
        self.last_error = ""
        self.running: Callable[[], int] = _closed

    @property
    def requests(self) -> int:
        """Requests received, however they ended."""
        return sum(self.outcomes.values())

    @property
    def errors(self) -> int:
        """Requests that were not answered with a value."""
        return self.requests - self.outcomes["ok"]


def _closed() -> int:
    return 0


class NatsReadings:
    """Where the connection's figures are read when somebody asks."""

    def __init__(self) -> None:
        self.connected: Callable[[], bool] = lambda: False
        self.pending_bytes: Callable[[], int] = lambda: 0
        # direction → (messages, bytes) of the whole connection
        self.traffic: Callable[[], dict[Direction, tuple[int, int]]] = dict
        self.late: Callable[[], int] = lambda: 0
        self.second: Callable[[], int] = lambda: 0


class BusMetrics(Collector):
    """The bus's part of a process's registry. One bus per registry."""

    bounds = FAST
    """Of all its histograms."""

    def __init__(self, registry: CollectorRegistry | None) -> None:
        self._client_failures = Allotment(_CLIENT_FAILURES)
        self._client_timed = Allotment(_CLIENT_TIMED)
        self._server_failures = Allotment(_SERVER_FAILURES)
        self._server_timed = Allotment(_SERVER_TIMED)
        self._clients: dict[tuple[str, str], ClientTally] = {}
        self._servers: dict[tuple[str, str], ServerTally] = {}
        # (event name, direction, outcome) → count
        self._events: dict[tuple[str, Direction, EventOutcome], int] = {}
        self.redeliveries: dict[str, int] = {}  # event name → count
        self.dead_letters: dict[str, int] = {}
        self.nats = NatsReadings()
        self.reconnects = 0
        self.lame_ducks = 0
        self.slow_consumers = 0
        self.violations: dict[Operation, int] = {"publish": 0, "subscribe": 0}
        self.unknown_methods = 0
        # (direction, kind) → [messages, bytes]; the rest of the traffic is events
        self.rpc_in = [0, 0]
        self.rpc_out = [0, 0]
        self.control_in = [0, 0]
        self.control_out = [0, 0]
        if registry is not None:
            registry.register(self)

    def client(self, service: str, method: str) -> ClientTally:
        """The tally of an action that this process calls."""
        key = (service, method)
        tally = self._clients.get(key)
        if tally is None:
            tally = self._clients[key] = ClientTally(service, method)
        return tally

    def server(self, service: str, method: str) -> ServerTally:
        """The tally of an action that this process keeps."""
        key = (service, method)
        tally = self._servers.get(key)
        if tally is None:
            tally = self._servers[key] = ServerTally(service, method)
        return tally

    def event(self, name: str, direction: Direction, outcome: EventOutcome) -> None:
        """An event was published or handled. `name` is that of a class, so the set is closed."""
        key = (name, direction, outcome)
        self._events[key] = self._events.get(key, 0) + 1

    def redelivered(self, name: str) -> None:
        """A durable event came again."""
        self.redeliveries[name] = self.redeliveries.get(name, 0) + 1

    def dead_letter(self, name: str) -> None:
        """A durable event was given up."""
        self.dead_letters[name] = self.dead_letters.get(name, 0) + 1

    def forbidden(self, operation: Operation) -> None:
        """NATS refused what this process's user may not do."""
        self.violations[operation] += 1

    def describe(self) -> Iterable[Metric]:
        """The families without their samples, so that a second bus in a registry is refused."""
        return [*BusMetrics(None).collect()]

    def collect(self) -> Iterable[Metric]:
        """Called by Prometheus, possibly from another thread; only reads."""
        yield from self._client_families()
        yield from self._server_families()
        yield from self._event_families()
        yield from self._nats_families()

    def _client_families(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "hubbub_rpc_client_requests",
            "Calls to other services by how they ended.",
            labels=["service", "method", "outcome"],
        )
        durations = HistogramMetricFamily(
            "hubbub_rpc_client_duration_seconds",
            "Calls to other services, retries included.",
            labels=["service", "method"],
        )
        retries: dict[str, int] = {}
        circuits: dict[str, int] = {}
        counted: dict[tuple[str, str, str], int] = {}
        timed: dict[tuple[str, str], Durations] = {}
        for tally in list(self._clients.values()):
            if not any(tally.outcomes.values()):
                continue
            service = tally.service
            where = (service, tally.method)
            for outcome, count in _told(tally.outcomes):
                series: tuple[str, str, str] = (*where, outcome)
                if outcome != "ok" and not self._client_failures.has(series):
                    series = (service, OTHER, outcome)
                counted[series] = counted.get(series, 0) + count
            shown = where if self._client_timed.has(where) else (service, OTHER)
            timed.setdefault(shown, Durations()).add(tally.durations)
            retries[service] = retries.get(service, 0) + tally.retries
            circuits[service] = max(circuits.get(service, 0), tally.circuit())
        for series, count in counted.items():
            requests.add_metric(series, count)
        for shown, both in timed.items():
            durations.add_metric(shown, both.cumulative(), both.total)
        yield requests
        yield durations
        yield _counters("hubbub_rpc_client_retries", "Requests sent again.", "service", retries)
        circuit = GaugeMetricFamily(
            "hubbub_rpc_circuit_state",
            "Worst circuit among a service's methods: 0 closed, 1 half-open, 2 open.",
            labels=["service"],
        )
        for service, state in circuits.items():
            circuit.add_metric([service], state)
        yield circuit
        yield CounterMetricFamily(
            "hubbub_rpc_client_late",
            "Answers that came after their caller had given up.",
            value=self.nats.late(),
        )
        yield CounterMetricFamily(
            "hubbub_rpc_client_duplicates",
            "Second answers to a request that was answered before.",
            value=self.nats.second(),
        )

    def _server_families(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "hubbub_rpc_server_requests",
            "Calls received by how they ended.",
            labels=["method", "outcome"],
        )
        durations = HistogramMetricFamily(
            "hubbub_rpc_server_duration_seconds",
            "Time from receiving a call to answering it.",
            labels=["method"],
        )
        shed = expired = running = 0
        # Two services of one process may have a method of the same name: one series.
        counted: dict[tuple[str, str], int] = {}
        timed: dict[str, Durations] = {}
        for tally in list(self._servers.values()):
            running += tally.running()
            shed += tally.outcomes["shed"]
            expired += tally.outcomes["expired"]
            if not tally.requests:
                continue
            for ending, count in _told(tally.outcomes):
                series = (tally.method, ending)
                if ending != "ok" and not self._server_failures.has(series):
                    series = (OTHER, ending)
                counted[series] = counted.get(series, 0) + count
            shown = tally.method if self._server_timed.has(tally.method) else OTHER
            timed.setdefault(shown, Durations()).add(tally.durations)
        if self.unknown_methods:
            series = (OTHER, "error")
            counted[series] = counted.get(series, 0) + self.unknown_methods
        for (method, outcome), count in counted.items():
            requests.add_metric([method, outcome], count)
        for method, both in timed.items():
            durations.add_metric([method], both.cumulative(), both.total)
        yield requests
        yield durations
        yield GaugeMetricFamily(
            "hubbub_rpc_server_inflight", "Calls being worked on.", value=running
        )
        yield CounterMetricFamily(
            "hubbub_rpc_server_shed", "Calls refused for want of room.", value=shed
        )
        yield CounterMetricFamily(
            "hubbub_rpc_server_expired",
            "Calls not begun because nobody waited for them any more.",
            value=expired,
        )

    def _event_families(self) -> Iterable[Metric]:
        events = CounterMetricFamily(
            "hubbub_bus_events",
            "Events published and handled.",
            labels=["name", "direction", "outcome"],
        )
        for (name, direction, outcome), count in list(self._events.items()):
            events.add_metric([name, direction, outcome], count)
        yield events
        yield _counters(
            "hubbub_bus_redeliveries",
            "Durable events that came again after a failure.",
            "name",
            self.redeliveries,
        )
        yield _counters(
            "hubbub_bus_dead_letters",
            "Durable events that were given up and put aside.",
            "name",
            self.dead_letters,
        )

    def _nats_families(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "hubbub_nats_connected",
            "1 while the connection to NATS stands.",
            value=int(self.nats.connected()),
        )
        yield GaugeMetricFamily(
            "hubbub_nats_pending_bytes",
            "Bytes that wait in this process to be sent.",
            value=self.nats.pending_bytes(),
        )
        for name, help_text, value in (
            ("hubbub_nats_reconnects", "Connections made again.", self.reconnects),
            ("hubbub_nats_lame_duck", "Servers that announced their end.", self.lame_ducks),
            (
                "hubbub_nats_slow_consumer",
                "Messages dropped because a subscription overflowed.",
                self.slow_consumers,
            ),
        ):
            yield CounterMetricFamily(name, help_text, value=value)
        violations = CounterMetricFamily(
            "hubbub_nats_permission_violations",
            "What NATS refused because this service's user may not do it.",
            labels=["operation"],
        )
        for operation, count in self.violations.items():
            violations.add_metric([operation], count)
        yield violations
        messages = CounterMetricFamily(
            "hubbub_nats_messages", "Messages over NATS.", labels=["direction", "kind"]
        )
        volume = CounterMetricFamily(
            "hubbub_nats_bytes", "Payload bytes over NATS.", labels=["direction", "kind"]
        )
        known = {"in": (self.rpc_in, self.control_in), "out": (self.rpc_out, self.control_out)}
        for direction, (all_messages, all_bytes) in self.nats.traffic().items():
            rpc, control = known[direction]
            rest = [all_messages - rpc[0] - control[0], all_bytes - rpc[1] - control[1]]
            for kind, (count, size) in {"rpc": rpc, "control": control, "event": rest}.items():
                messages.add_metric([direction, kind], max(0, count))
                volume.add_metric([direction, kind], max(0, size))
        yield messages
        yield volume


def _told(outcomes: Mapping[Outcome, int]) -> list[tuple[Outcome, int]]:
    """The outcomes that have happened, and success even if it has not."""
    return [(outcome, n) for outcome, n in outcomes.items() if n or outcome == "ok"]


def _counters(name: str, help_text: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, help_text, labels=[label])
    for value, count in list(values.items()):
        family.add_metric([value], count)
    return family
