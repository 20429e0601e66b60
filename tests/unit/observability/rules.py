"""The rule files, and promtool."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

ROOT: Final = Path(__file__).parents[3]
FILES: Final = sorted((ROOT / "deploy" / "helm" / "hubbub" / "files" / "alerts").glob("*.yaml"))
RUNBOOKS: Final = ROOT / "docs" / "runbooks"

PROMTOOL: Final = os.environ.get("PROMTOOL") or shutil.which("promtool")
needs_promtool = pytest.mark.skipif(
    not PROMTOOL,
    reason="promtool is neither on the PATH nor named by PROMTOOL; names and labels are checked"
    " without it",
)

Rule = dict[str, Any]


def rules(*files: Path) -> list[Rule]:
    """All rules of `files`, or of all."""
    return [
        rule
        for file in files or FILES
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[Rule]:
    """The rules that can raise an alert."""
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> frozenset[str]:
    """Names of the series that rules make."""
    return frozenset(rule["record"] for rule in rules() if "record" in rule)
