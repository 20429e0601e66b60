"""The same files make the same package, and nothing else gets into it."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from hubbub.apps import packing
from hubbub.apps.manifest import WrongManifest
from hubbub.apps.packing import CannotPack, pack
from tests.unit.apps.trial import write


def names(data: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.namelist()


def test_what_is_in_a_package(tmp_path: Path) -> None:
    folder = write(tmp_path)
    for name in ("README.md", "test_trial.py", ".env", "other.txt", "trial_app/.hidden/x.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    for name in ("trial_app/__pycache__/a.pyc", "trial_app/b.pyc", "trial_app/data/words.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    data = pack(folder)
    assert names(data) == [
        "README.md",
        "app.toml",
        "trial_app/__init__.py",
        "trial_app/data/words.txt",
        "trial_app/words.py",
    ]
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        assert archive.read("trial_app/words.py") == b'WORD = "Number"\n'


def test_the_same_files_make_the_same_package(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    os.utime(second / "app.toml", (1_000_000_000, 1_000_000_000))
    (second / "trial_app" / "words.py").chmod(0o700)
    assert pack(first) == pack(second)
    (second / "trial_app" / "words.py").write_text("WORD = 'Other'\n")
    assert pack(first) != pack(second)


def test_links_are_not_packed(tmp_path: Path) -> None:
    folder = write(tmp_path)
    (folder / "trial_app" / "secrets.py").symlink_to("/etc/passwd")
    with pytest.raises(CannotPack, match=r"secrets\.py is not an ordinary file"):
        pack(folder)


def test_what_cannot_be_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path)
    monkeypatch.setattr(packing, "LARGEST", 100)
    with pytest.raises(CannotPack, match="at most 100"):
        pack(folder)
    (folder / "trial_app" / "__init__.py").unlink()
    with pytest.raises(CannotPack, match="no package trial_app"):
        pack(folder)
    with pytest.raises(WrongManifest):
        pack(tmp_path)
