"""What runbooks tell people to look at and to do exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from hubbub.cli.main import COMMANDS
from hubbub.cli.settings import describe
from tests.unit.observability.known import series
from tests.unit.observability.panels import dashboards
from tests.unit.observability.rules import ROOT, RUNBOOKS, recorded

_PAGES = sorted(RUNBOOKS.glob("*.md"))
_VALUES = yaml.safe_load((ROOT / "deploy" / "helm" / "hubbub" / "values.yaml").read_text())
_BASES = {re.sub(r"_(bucket|count|sum)$", "", name) for name in series()} | set(series())
"""Metrics by the names that documents use."""
_STORED = {"hubbub_leases"}
_TITLES = {page["title"].removeprefix("Hubbub / ") for page in dashboards().values()}
_PANELS = {
    (page["title"].removeprefix("Hubbub / "), panel["title"])
    for page in dashboards().values()
    for panel in page["panels"]
    if panel["type"] != "row"
}

each_page = pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.stem)


@each_page
def test_metrics(page: Path) -> None:
    named = set(re.findall(r"\b(?:hubbub|gnatsd)(?::\w+)?_[\w:]+", page.read_text()))

    assert named - _BASES - recorded() <= _STORED


@each_page
def test_settings(page: Path) -> None:
    named = set(re.findall(r"\bHUBBUB_[A-Z_]+\b", page.read_text()))

    assert named <= {one.variable for one in describe()} | {"HUBBUB_EVENTS"}


@each_page
def test_commands(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"(?:-- |`)hubbub ([a-z][a-z-]+)", text))

    assert named <= set(COMMANDS)


@each_page
def test_values_of_the_chart(page: Path) -> None:
    for path in re.findall(r"`([a-z][\w-]+(?:\.[A-Za-z]+)+)`", page.read_text()):
        if path.split(".")[0] in _VALUES:
            assert _value_exists(path.split(".")), path


@each_page
def test_panels(page: Path) -> None:
    """`*Dashboard: Panel*`, or `*Panel*` of any dashboard, or `*Dashboard*`."""
    for named in re.findall(r"(?<![*\w])\*([^\s*][^*\n]*)\*(?!\*)", page.read_text()):
        dashboard, _, panel = named.partition(": ")

        assert (
            named in _TITLES
            or (dashboard, panel) in _PANELS
            or any(named == title for _, title in _PANELS)
        ), named


@each_page
def test_what_is_looked_for_in_logs_is_logged(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"-e (\w+)", text)) | set(re.findall(r"\| grep (\w+)", text))
    source = _source()

    assert not {word for word in named if word not in source and word not in _BASES}


def _value_exists(path: list[str]) -> bool:
    """In the values, or in those of every component."""
    own: Any = _VALUES
    for name in path:
        if not isinstance(own, dict) or name not in own:
            break
        own = own[name]
    else:
        return True
    shared: Any = _VALUES["defaults"]
    for name in path[1:]:
        if not isinstance(shared, dict) or name not in shared:
            return False
        shared = shared[name]
    return len(path) > 1


def _source() -> str:
    folders = (ROOT / "services", ROOT / "libs" / "common" / "hubbub")
    return "\n".join(path.read_text() for folder in folders for path in folder.rglob("*.py"))
