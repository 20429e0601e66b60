"""Fixtures of the operator's tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.operator.harness import Harness, harness


@pytest.fixture
async def world() -> AsyncIterator[Harness]:
    """An operator over an empty cluster."""
    async with harness() as made:
        yield made
