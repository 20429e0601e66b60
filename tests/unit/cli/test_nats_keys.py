"""`hubbub nats-keys`, and the page that is written from it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hubbub.bus.permissions import all_rights
from hubbub.cli.main import main

ROOT = Path(__file__).parents[3]


def test_the_folder_has_everybodys_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing secret is printed."""
    assert main(["nats-keys", str(tmp_path / "keys")]) == 0

    made = {file.name for file in (tmp_path / "keys").iterdir()}
    assert made == {"authorization.conf", *(f"{user}.nk" for user in all_rights())}
    printed = capsys.readouterr().out
    assert "authorization.conf" in printed
    for file in (tmp_path / "keys").glob("*.nk"):
        assert file.read_text().strip() not in printed


def test_every_file_may_have_a_folder_of_its_own(tmp_path: Path) -> None:
    """And a second run finds them there; only the owner sees into those with a secret."""
    command = ["nats-keys", str(tmp_path / "keys"), "--apart"]
    assert main(command) == 0

    expected = {f"{user}/{user}.nk" for user in all_rights()} | {"nats/authorization.conf"}
    files = [file for file in (tmp_path / "keys").rglob("*") if file.is_file()]
    assert {str(file.relative_to(tmp_path / "keys")) for file in files} == expected
    for file in files:
        assert file.parent.stat().st_mode & 0o077 == (0 if file.suffix == ".nk" else 0o055)

    before = {file: file.read_text() for file in files}
    assert main(command) == 0
    assert {file: file.read_text() for file in files} == before


def test_what_cannot_be_written_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line."""
    (tmp_path / "keys").write_text("a file")

    assert main(["nats-keys", str(tmp_path / "keys")]) == 1
    assert main(["nats-keys"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.startswith("hubbub: ") for line in said] == [True, True]


def test_the_page_of_rights_is_current() -> None:
    """`python docs/nats_users.py` puts it right."""
    command = [sys.executable, str(ROOT / "docs" / "nats_users.py"), "--check"]

    assert subprocess.run(command, check=False).returncode == 0
