"""Every way to install Hubbub, one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.unit.deploy.chart import CI, Installation, from_overlay, from_values, needs_helm

_WAYS: list[Any] = [pytest.param(name, id=f"k8s/{name}") for name in ("dev", "ha")]
_WAYS += [
    pytest.param(file, id=f"chart/{file.stem.removesuffix('-values')}", marks=needs_helm)
    for file in CI
]


@pytest.fixture(params=_WAYS)
def installation(request: pytest.FixtureRequest) -> Installation:
    """One of the overlays, or the chart with one of its ci values."""
    way: str | Path = request.param
    return from_overlay(way) if isinstance(way, str) else from_values(way)
