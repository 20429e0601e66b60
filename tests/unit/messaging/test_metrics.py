"""How long sends and searches take."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.messaging.metrics import DoorMetrics


def test_stages_are_measured_whether_they_succeed_or_not() -> None:
    registry = CollectorRegistry()
    metrics = DoorMetrics(registry)
    with metrics.sending("validate"):
        pass
    with pytest.raises(ValueError, match="refused"), metrics.sending("authorize"):
        raise ValueError("refused")
    with metrics.searching():
        pass

    def count(stage: str) -> float | None:
        name = "hubbub_message_send_duration_seconds_count"
        return registry.get_sample_value(name, {"stage": stage})

    assert (count("validate"), count("authorize"), count("persist")) == (1, 1, 0)
    assert registry.get_sample_value("hubbub_search_duration_seconds_count") == 1
