"""What `hubbub app run --url` shows of a log, and which files it watches."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubbub.cli.app_live import LogTail, stamp
from hubbub.cli.main import main


def line(at: str, text: str) -> dict[str, str]:
    return {"at": at, "level": "info", "text": text}


def test_each_line_of_a_log_is_new_once() -> None:
    log = LogTail()
    first, second, twin = line("01", "a"), line("02", "b"), line("02", "b")
    assert log.new([]) == []
    assert log.new([first]) == [first]
    assert log.new([first, second]) == [second]
    assert log.new([first, second, twin]) == [twin]
    assert log.new([second, twin]) == []
    other = line("02", "c")
    assert log.new([second, twin, other, line("03", "a")]) == [other, line("03", "a")]
    assert log.new([line("03", "a")]) == []


def test_what_belongs_to_an_app_is_watched(tmp_path: Path) -> None:
    package = tmp_path / "made"
    (package / "__pycache__").mkdir(parents=True)
    for name in ("app.toml", "made/__init__.py", "made/__pycache__/a.py", "made/.swp", "test.py"):
        (tmp_path / name).write_text("")
    before = stamp(tmp_path, "made")
    assert {Path(name).name for name in before} == {"app.toml", "__init__.py"}
    (package / "__init__.py").write_text("x")
    assert stamp(tmp_path, "made") != before
    assert stamp(tmp_path / "nowhere", "made") == {}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--keep"], "--keep is for an app in a running Hubbub"),
        (["--url", "http://127.0.0.1:9", "--token-file", "/no/such"], "--token-file /no/such"),
    ],
)
def test_wrong_use(typed: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["app", "run", ".", *typed]) == 2
    assert told in capsys.readouterr().err
