"""Every known hole has a test, and that test exists."""

from __future__ import annotations

import importlib
import inspect
from itertools import chain

import pytest

from tests.security.coverage import ADVISORIES, DEFECTS, NO_SUCH_DOOR, RULES

NAMED = sorted(set(chain(*ADVISORIES.values(), *RULES.values(), *DEFECTS.values())))

LAST_DEFECT = 32
ROWS_OF_ADVISORIES = 29


@pytest.mark.parametrize("name", NAMED)
def test_the_test_exists(name: str) -> None:
    module, _, function = name.partition("::")
    found = getattr(importlib.import_module(f"tests.{module}"), function)

    assert function.startswith("test_")
    assert inspect.isfunction(found)


def test_every_row_has_a_test_of_its_own() -> None:
    assert sorted(DEFECTS) == list(range(1, LAST_DEFECT + 1))
    assert len(ADVISORIES) == ROWS_OF_ADVISORIES
    assert all(ADVISORIES.values())
    assert all(DEFECTS.values())
    assert all(RULES.values())
    for row, tests in ADVISORIES.items():
        assert any(test.startswith("security.") for test in tests), row
    assert set(NO_SUCH_DOOR) <= set(ADVISORIES)


def test_every_test_here_stands_for_a_row() -> None:
    """What nobody names was made for nothing, or its row is missing."""
    modules = {name.partition("::")[0] for name in NAMED if name.startswith("security.")}
    written = {
        f"{module}::{name}"
        for module in modules
        for name, _ in inspect.getmembers(
            importlib.import_module(f"tests.{module}"), inspect.isfunction
        )
        if name.startswith("test_")
    }
    assert written <= set(NAMED)
