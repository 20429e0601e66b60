"""Fixtures of messaging's integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from hubbub.mongo import Database
from tests.integration.messaging.house import House, house


@pytest.fixture
async def home(database: Database) -> AsyncIterator[House]:
    """A running messaging service on a database of its own."""
    async with house(database) as made:
        yield made
