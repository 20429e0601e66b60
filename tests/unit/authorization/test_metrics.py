"""How late caches forget."""

from __future__ import annotations

import time

import pytest
from prometheus_client import CollectorRegistry

from hubbub.contracts.events import RolesChanged, UserChanged
from hubbub.ids import UserId
from services.authorization.metrics import AuthorizationMetrics

LAG = "hubbub_authz_invalidation_lag_seconds"


def test_the_lag_is_counted_from_the_commit() -> None:
    registry = CollectorRegistry()
    metrics = AuthorizationMetrics(registry)
    now = round(time.time() * 1000)
    metrics.invalidated(UserChanged(user_id=UserId("u"), committed=now - 1_500))
    metrics.invalidated(UserChanged(user_id=UserId("u"), committed=now + 60_000))
    metrics.invalidated(RolesChanged())  # of somebody who does not know when

    assert registry.get_sample_value(f"{LAG}_count") == 2
    assert registry.get_sample_value(f"{LAG}_sum") == pytest.approx(1.5, abs=0.2)
    name = "hubbub_authz_invalidations_total"
    assert registry.get_sample_value(name, {"event": "user.changed"}) == 2
    assert registry.get_sample_value(name, {"event": "roles.changed"}) == 1


def test_permissions_are_those_of_a_workspace() -> None:
    registry = CollectorRegistry()
    metrics = AuthorizationMetrics(registry)
    metrics.decided("create-c", allowed=True)
    metrics.decided("made-up-by-an-app", allowed=False)

    def decisions(permission: str, result: str) -> float | None:
        labels = {"permission": permission, "result": result}
        return registry.get_sample_value("hubbub_authz_decisions_total", labels)

    assert decisions("create-c", "allowed") == 1
    assert decisions("other", "denied") == 1
