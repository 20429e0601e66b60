"""`hubbub backup` finds its database, or says in one line why not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hubbub.cli.main import main
from hubbub.local.folder import locked


@pytest.fixture
def nowhere() -> str:
    """The address of a server that is not there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the command is typed."""
    for name in ("HUBBUB_MONGO_URL", "HUBBUB_DATA", "HUBBUB_SECRETS_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def complaint(capsys: pytest.CaptureFixture[str]) -> str:
    out, said = capsys.readouterr()
    assert out == ""
    assert len(said.splitlines()) == 1
    return said


@pytest.mark.usefixtures("folder")
def test_there_is_no_database(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", "create", "a.backup"]) == 1
    assert "HUBBUB_MONGO_URL is not set, and .hubbub is not the folder" in complaint(capsys)


@pytest.mark.usefixtures("folder")
def test_two_databases_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever restores should not have to guess which one it will be."""
    monkeypatch.setenv("HUBBUB_MONGO_URL", "mongodb://127.0.0.1:9/x")

    assert main(["backup", "restore", "a.backup", "--data", "here"]) == 2
    assert "which one shall it be?" in complaint(capsys)


@pytest.mark.usefixtures("folder")
def test_nobody_answers(
    nowhere: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUBBUB_MONGO_URL", f"mongodb://user:hunter2@{nowhere}/x")
    monkeypatch.setenv("HUBBUB_MONGO_SERVER_SELECTION_TIMEOUT", "0.2")

    assert main(["backup", "create", "a.backup"]) == 1
    said = complaint(capsys)
    assert f"MongoDB: {nowhere}: " in said
    assert "failed" in said
    assert "hunter2" not in said
    assert "Topology" not in said


def test_the_folder_is_in_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a `hubbub up` that has not come so far as to tell its addresses."""
    with locked(folder / "data", address="127.0.0.1:3000"):
        assert main(["backup", "restore", "a.backup", "--data", "data"]) == 1
    assert "data is in use by process" in complaint(capsys)


@pytest.mark.usefixtures("folder")
def test_without_an_action_it_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["backup"])

    assert end.value.code == 2
    assert "ACTION" in capsys.readouterr().err
