"""The example apps pass their own tests, run as their authors would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[3] / "examples" / "apps"
_LONGEST = 100.0  # seconds


@pytest.mark.parametrize("name", ["incoming-events", "moderation", "reminders"])
def test_an_example(name: str) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "."],
        cwd=EXAMPLES / name,
        check=False,
        capture_output=True,
        text=True,
        timeout=_LONGEST,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert " passed" in told.stdout


def test_all_examples_are_tested() -> None:
    assert {folder.name for folder in EXAMPLES.iterdir() if (folder / "app.toml").exists()} == {
        "incoming-events",
        "moderation",
        "reminders",
    }
