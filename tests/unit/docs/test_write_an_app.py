"""docs/howto/write-an-app.md is typed, written and compared, from the first line to the last."""

from __future__ import annotations

import io
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hubbub.apps.app import App
from hubbub.apps.permissions import EVENTS, PERMISSIONS
from hubbub.cli.main import main
from tests.unit.docs.test_pages import ROOT

PAGE = ROOT / "docs" / "howto" / "write-an-app.md"
_BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = "ada@general> "
_LONGEST = 100.0  # seconds


class Reader:
    """Somebody who does what the page says, in an empty folder."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._capsys = capsys

    def write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)

    def type(self, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Type a block's command, and what stands behind prompts; compare the rest."""
        command, *lines = text.splitlines()
        words = shlex.split(command.removeprefix("$ "))
        typed = [line.removeprefix(_PROMPT) for line in lines if line.startswith(_PROMPT)]
        expected = [line for line in lines if not line.startswith(_PROMPT)]
        if words[0] == "python":
            assert self._python(words[1:]).endswith(" ".join(expected))
            return
        monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in typed)))
        main(words[1:])
        assert self._capsys.readouterr().out.splitlines() == expected

    def _python(self, arguments: list[str]) -> str:
        ended = subprocess.run(
            [sys.executable, *arguments, "-p", "no:cacheprovider"],
            cwd=self._folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=_LONGEST,
        )
        assert ended.returncode == 0, ended.stdout
        return re.sub(r" in [0-9.]+s$", "", ended.stdout.strip())


def test_the_page_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", sys.dont_write_bytecode)
    reader = Reader(tmp_path, capsys)
    done = 0
    for language, name, text in _BLOCK.findall(PAGE.read_text()):
        if language == "console":
            reader.type(text, monkeypatch)
        elif language == "sh":
            pass  # in a running Hubbub: tests/conformance/test_howto_app.py
        else:
            assert name.startswith("tea-timer/"), "a fragment without its place"
            reader.write(name, text)
        done += 1
    assert done == len(re.findall(r"^```\w", PAGE.read_text(), re.MULTILINE)) == 13


def test_the_page_names_everything_that_there_is() -> None:
    """Permissions, events, and what an app can do."""
    text = _BLOCK.sub("", PAGE.read_text())
    named = set(re.findall(r"[a-z_.-]+", " ".join(re.findall(r"`([^`]+)`", text))))
    assert set(PERMISSIONS) <= named
    assert set(EVENTS) <= named
    public = {name for name in vars(App) if not name.startswith("_")}
    ours = {"configure", "test_client", "on", "every", "settings"}
    assert {f"app.{name}" for name in public - ours} <= named
