"""`hubbub operator release`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

import pytest

from hubbub.cli import operator
from hubbub.cli.main import main


@dataclass(frozen=True)
class Released:
    """An answer of the operator's code."""

    removed: tuple[str, ...] = ()
    let_go: tuple[str, ...] = ()


def test_it_says_what_became_of_the_apps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    waited: list[float] = []

    def release(within: float) -> Released:
        waited.append(within)
        return Released(("a", "b"), ("c",) if within < 10 else ())

    monkeypatch.setattr(operator, "_release", lambda: release)

    assert main(["operator", "release"]) == 0
    assert capsys.readouterr().out == "removed: a, b\n"
    assert main(["operator", "release", "--within", "5"]) == 0
    assert "still in the apps engine: c" in capsys.readouterr().out
    assert waited == [operator.WITHIN, 5.0]


def test_the_operator_brings_it() -> None:
    [entry] = metadata.entry_points(group=operator.GROUP, name=operator.RELEASE)

    assert callable(entry.load())


def test_without_kubernetes_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line: the API server does not answer."""
    monkeypatch.setenv("HUBBUB_OPERATOR_API_URL", "http://127.0.0.1:9")

    assert main(["operator", "release", "--within", "0"]) == 1
    assert "Connect" in capsys.readouterr().err
