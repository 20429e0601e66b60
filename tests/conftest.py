"""What every test gets: an environment without the settings of whoever runs the tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

KEPT = {"HUBBUB_TEST_SERVERS", "HUBBUB_MONGO_URL", "HUBBUB_NATS_URL"}
"""Settings that choose the servers of the tests."""

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable of the developer's shell must not change what a test sees."""
    for name in list(os.environ):
        if name.startswith("HUBBUB_") and name not in KEPT:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _logs_start_afresh() -> Iterator[None]:
    """What one test configures or binds to its log lines does not reach the next."""
    yield
    structlog.contextvars.clear_contextvars()
    if structlog.is_configured():
        structlog.reset_defaults()
