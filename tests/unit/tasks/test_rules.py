"""What is asked of the code before it runs."""

from __future__ import annotations

import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())


def test_what_is_not_awaited_is_an_error() -> None:
    """A check of a password that nobody awaits is a coroutine, which is as true as anything; so
    is one whose result is an object, not a yes. And a task that nobody holds may vanish."""
    mypy, ruff = PROJECT["tool"]["mypy"], PROJECT["tool"]["ruff"]["lint"]
    assert mypy["strict"] is True
    assert {"truthy-bool", "unused-awaitable"} <= set(mypy["enable_error_code"])
    usual = {"unused-coroutine", "truthy-function"}
    assert not usual & set(mypy["disable_error_code"])
    assert {"libs/common/hubbub", "services"} <= set(mypy["files"])
    assert "RUF" in ruff["select"]
    assert not {"RUF", "RUF0", "RUF00", "RUF006"} & set(ruff["ignore"])
