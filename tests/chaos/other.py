"""Another version of Hubbub, installed beside this one."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from pathlib import Path

from tests.chaos.programs import ROOT

PYTHON = ".venv/bin/python"
"""Of an installed tree."""
_INSTALLED = ".installed"
_MANY_MINUTES = 900.0  # seconds


def installed(revision: str) -> Path:
    """The tree of a commit, with an environment of its own, in the user's cache. What an earlier
    run has made there is taken as it is; the repository is only read.

    Raises:
        subprocess.CalledProcessError: there is no such commit, or it cannot be installed.
    """
    commit = _said("git", "rev-parse", "--verify", f"{revision}^{{commit}}").decode().strip()
    tree = _cache() / commit
    if (tree / _INSTALLED).exists():
        return tree
    tree.mkdir(parents=True, exist_ok=True)
    archive = tree.with_suffix(".tar")
    archive.write_bytes(_said("git", "archive", commit))
    with tarfile.open(archive) as files:
        files.extractall(tree, filter="data")
    archive.unlink()
    _done(sys.executable, "-m", "venv", str(tree / ".venv"))
    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    _done(str(tree / PYTHON), *pip, "--editable", str(tree))
    (tree / _INSTALLED).touch()
    return tree


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hubbub-drill"


def _said(*command: str) -> bytes:
    return subprocess.run(
        command, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=_MANY_MINUTES
    ).stdout


def _done(*command: str) -> None:
    subprocess.run(command, check=True, timeout=_MANY_MINUTES)
