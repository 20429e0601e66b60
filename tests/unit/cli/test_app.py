"""`hubbub app` makes, checks, packs and runs apps."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import pytest

from hubbub.cli.main import main


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)


def test_from_nothing_to_a_package(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["app", "new", "made-here"]) == 0
    assert "made-here/made_here/__init__.py" in capsys.readouterr().out

    assert main(["app", "check", "made-here"]) == 0
    assert capsys.readouterr().out == "Made here 0.1.0 can be installed\n  commands: made-here\n"
    assert main(["app", "check", "made-here", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["problems"] == []

    assert main(["app", "pack", "made-here"]) == 0
    assert main(["app", "pack", "made-here", "-o", "other.zip"]) == 0
    packed = (tmp_path / "made-here-0.1.0.zip").read_bytes()
    assert packed == (tmp_path / "other.zip").read_bytes()
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert "app.toml" in archive.namelist()
    capsys.readouterr()

    monkeypatch.setattr("sys.stdin", io.StringIO("/made-here\n:quit\nnever\n"))
    assert main(["app", "run", "made-here", "--set", "greeting=Ahoy"]) == 0
    assert capsys.readouterr().out.endswith("typed\nonly ada sees: Ahoy, Ada!\n")


@pytest.mark.parametrize(
    ("typed", "status", "told"),
    [
        ("new Made", 2, "'Made' is not 3 to 40 small letters"),
        ("new asyncio", 2, "cannot be called 'asyncio'"),
        ("new made", 2, "made is there already"),
        ("pack other", 1, "app.toml cannot be read"),
        ("run other", 1, "app.toml cannot be read"),
        ("pack made -o no/such/folder.zip", 1, "cannot be written"),
        ("run made --set greeting", 2, "'greeting' is not NAME=VALUE"),
        ("run made --set color=red", 2, "color: there is no such setting"),
        ("run broken", 1, "of the author"),
        ("run bare", 1, "no package bare"),
    ],
)
def test_what_goes_wrong(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    typed: str,
    status: int,
    told: str,
) -> None:
    for name in ("made", "broken", "bare"):
        main(["app", "new", name])
    (tmp_path / "broken" / "broken" / "__init__.py").write_text("raise ValueError('of the author')")
    (tmp_path / "bare" / "bare" / "__init__.py").unlink()
    capsys.readouterr()
    path = list(sys.path)
    try:
        assert main(["app", *typed.split()]) == status
    finally:
        sys.path[:] = path
    assert told in capsys.readouterr().err


def test_problems_are_told_and_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["app", "new", "made"])
    (tmp_path / "made" / "made" / "__init__.py").write_text("import requests\n")
    capsys.readouterr()
    assert main(["app", "check", "made"]) == 1
    assert "made/__init__.py:1: requests may not be there" in capsys.readouterr().out
