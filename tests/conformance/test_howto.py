"""The fragments of docs/howto/add-a-method.md, applied to a copy of the repository."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.conformance

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "add-a-method.md"
_FRAGMENT = re.compile(r"^```python (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COPIED = ("libs", "services", "tests", "docs", "pyproject.toml")
_TOOK = 100.0  # seconds, a start of a whole Hubbub included


@dataclass(frozen=True)
class Fragment:
    """A piece of code and where it belongs."""

    file: str
    inside: str
    """A class, or nothing."""
    code: str

    def apply(self, root: Path) -> None:
        """Put it at the end of its class or file."""
        path = root / self.file
        path.parent.mkdir(parents=True, exist_ok=True)
        text = path.read_text() if path.exists() else ""
        if not self.inside:
            path.write_text(f"{text}\n\n{self.code}" if text else self.code)
            return
        lines = text.splitlines(keepends=True)
        end = self._end_of_class(text)
        lines.insert(end, "\n" + textwrap.indent(self.code, "    "))
        path.write_text("".join(lines))

    def _end_of_class(self, text: str) -> int:
        for node in ast.parse(text).body:
            if isinstance(node, ast.ClassDef) and node.name == self.inside:
                assert node.end_lineno is not None
                return node.end_lineno
        raise AssertionError(f"{self.file} has no class {self.inside}")


def fragments() -> Iterator[Fragment]:
    for where, code in _FRAGMENT.findall(PAGE.read_text()):
        file, _, inside = where.partition(":")
        yield Fragment(file, inside, code)


def test_every_fragment_says_where_it_belongs() -> None:
    """The page has no other code."""
    fences = re.findall(r"^```.", PAGE.read_text(), re.MULTILINE)

    assert len(fences) == len(list(fragments())) == 7


@pytest.mark.timeout(_TOOK + 20)
def test_the_fragments_work(tmp_path: Path) -> None:
    """A fresh copy with them passes the tests that the page writes."""
    for name in _COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "node_modules", "*.egg-info")
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    for fragment in fragments():
        fragment.apply(tmp_path)
    tests = [one.file for one in fragments() if one.file.startswith("tests/")]
    ours = {"PYTHONPATH": os.pathsep.join([str(tmp_path / "libs" / "common"), str(tmp_path)])}
    outside = {key: value for key, value in os.environ.items() if key != "HUBBUB_TEST_URL"}

    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tmp_path,
        env={**outside, **ours},
        check=False,
        capture_output=True,
        text=True,
        timeout=_TOOK,
    )

    assert ended.returncode == 0, ended.stdout[-6000:]
    assert "3 passed" in ended.stdout
