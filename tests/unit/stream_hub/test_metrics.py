"""What the hub says of its lag, and which words its labels use."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from services.stream_hub.metrics import SILENCE, HubMetrics, Lag


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_lag_is_that_of_the_last_change() -> None:
    clock = Clock()
    lag = Lag(clock)
    assert lag.seconds() == 0
    lag.read(3.5)
    clock.now += SILENCE / 2
    assert lag.seconds() == 3.5
    lag.caught_up()
    assert lag.seconds() == 0
    lag.read(-0.2)  # the database's clock is ahead
    assert lag.seconds() == 0


def test_silence_is_lag() -> None:
    """Whoever hears nothing, not even that there is nothing, does not know how far behind it is."""
    clock = Clock()
    lag = Lag(clock)
    lag.caught_up()
    clock.now += 30
    assert lag.seconds() == 30
    lag.read(1.0)
    clock.now += 30
    assert lag.seconds() == 31
    lag.caught_up()
    assert lag.seconds() == 0


def test_a_standby_has_no_lag() -> None:
    clock = Clock()
    lag = Lag(clock)
    lag.read(9.0)
    lag.stopped()
    clock.now += 1_000
    assert lag.seconds() == 0


def test_collections_and_operations_are_known_words() -> None:
    registry = CollectorRegistry()
    metrics = HubMetrics(registry)
    metrics.count_change("rocketchat_message", "insert")
    metrics.count_change("somebody's own", "insert")
    metrics.count_change("", "dropDatabase")

    def changes(collection: str, op: str) -> float | None:
        labels = {"collection": collection, "op": op}
        return registry.get_sample_value("hubbub_hub_changes_total", labels)

    assert changes("messages", "insert") == 1
    assert changes("other", "insert") == 1
    assert changes("other", "other") == 1
