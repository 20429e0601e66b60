"""What is not offered is told as it is."""

from __future__ import annotations

from dataclasses import fields
from typing import get_type_hints
from unittest.mock import create_autospec

import pytest

from hubbub.doors.methods import METHODS, Caller, Services
from hubbub.doors.out_of_scope import (
    ENDPOINT_ANSWERS,
    ENDPOINTS_NOT_FOUND,
    METHOD_ANSWERS,
    METHODS_NOT_FOUND,
    is_among,
)
from hubbub.ids import UserId
from services.gateway.rest.endpoints import table


def test_no_method_is_both_offered_and_not() -> None:
    assert not [name for name in METHODS if is_among(name, METHODS_NOT_FOUND)]


def test_no_endpoint_is_both_offered_and_not() -> None:
    """But for those that have an answer of their own."""
    offered = {row.name for row in table() if not row.unversioned} - set(ENDPOINT_ANSWERS)

    assert not [name for name in offered if is_among(name, ENDPOINTS_NOT_FOUND)]


@pytest.mark.parametrize("name", METHOD_ANSWERS)
async def test_a_stand_in_answers_what_is_said_of_it(name: str) -> None:
    """Without asking anybody."""
    hints = get_type_hints(Services)
    spies = {field.name: create_autospec(hints[field.name]) for field in fields(Services)}
    services = Services(**spies)

    answer = await METHODS[name].call(services, Caller(UserId("u1")), [])

    assert answer == METHOD_ANSWERS[name]
    assert not any(spy.mock_calls for spy in spies.values())


@pytest.mark.parametrize("name", ENDPOINT_ANSWERS)
def test_a_stand_in_has_an_endpoint(name: str) -> None:
    """What it answers is compared over the wire."""
    assert table().find("GET", f"/api/v1/{name}") is not None


@pytest.mark.parametrize(
    ("name", "among"),
    [("e2e.x", True), ("e2e.", True), ("e2", False), ("exact", True), ("exact.not", False)],
)
def test_a_final_star_stands_for_any_end(name: str, among: bool) -> None:
    assert is_among(name, ("e2e.*", "exact")) is among
