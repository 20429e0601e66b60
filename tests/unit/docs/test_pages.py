"""What the documents say about the code is still so."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_tables_of_the_protocol_are_current() -> None:
    """`python docs/protocol_tables.py` puts them right."""
    command = [sys.executable, str(ROOT / "docs" / "protocol_tables.py"), "--check"]

    assert subprocess.run(command, check=False, timeout=60).returncode == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Links to other sites are not looked at."""
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]

    assert not missing


def test_every_make_target_that_a_page_names_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {
        target
        for page in PAGES
        for target in re.findall(r"`?make ([a-z][a-z-]+)", page.read_text())
    }
    commands = {
        target
        for page in PAGES
        for line in re.findall(r"^make ([a-z-]+)", page.read_text(), flags=re.MULTILINE)
        for target in [line]
    }

    assert {"run", "test"} <= commands <= named
    assert not {target for target in commands if f"\n{target}:" not in makefile}


def test_every_service_is_described() -> None:
    """In the architecture's table of services."""
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    services = [entry.name for entry in metadata.entry_points(group="hubbub.services")]

    assert services
    assert not [name for name in services if f"| `{name}` |" not in architecture]
