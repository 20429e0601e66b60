"""Whatever parameters a client sends, a method answers or refuses; nothing else comes out."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, get_type_hints
from unittest.mock import MagicMock, create_autospec

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from hubbub.doors.methods import METHODS, Caller, Services
from hubbub.errors import HubbubError, Internal
from hubbub.ids import UserId
from tests.unit.doors.any_json import parameters_of

EXAMPLES = int(os.environ.get("HUBBUB_FUZZ_EXAMPLES", "0"))
_SETTINGS = settings(
    max_examples=EXAMPLES or 20,
    derandomize=not EXAMPLES,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
CALLERS = (Caller(UserId("u1"), "127.0.0.1", "hash"), Caller(None))


@pytest.fixture(scope="module")
def services() -> Services:
    """Services that accept every call that their contract knows, and promise nothing."""
    hints = get_type_hints(Services)
    made: dict[str, Any] = {
        field.name: create_autospec(hints[field.name], instance=True) for field in fields(Services)
    }
    for field in fields(Services):
        for action in hints[field.name].contract_actions:
            # Stands for any result: has every attribute, and is a document too.
            getattr(made[field.name], action).return_value = MagicMock()
    return Services(**made)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.mark.parametrize("name", sorted(METHODS))
def test_only_documented_errors_come_out(
    services: Services, runner: asyncio.Runner, name: str
) -> None:
    """Of every method, for somebody and for nobody; and no error is a defect of ours."""
    method = METHODS[name]

    @_SETTINGS
    @given(params=parameters_of(method))
    def call(params: list[Any]) -> None:
        for caller in CALLERS:
            failure: HubbubError | None = None
            try:
                runner.run(method.call(services, caller, params))
            except HubbubError as error:
                failure = error
            assert not isinstance(failure, Internal)

    call()
