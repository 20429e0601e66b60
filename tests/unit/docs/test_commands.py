"""Commands on pages are run by tests, or the page says that they are an illustration."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from hubbub.cli.main import COMMANDS, _parser
from tests.unit.docs.test_pages import PAGES, ROOT

OPERATIONS = ROOT / "docs" / "operations.md"
_BLOCK = re.compile(r"((?:^[^\n]+\n)*)\n*^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"(?:^|`|-- )(hubbub ([a-z-]+)(?: [^`#\n]*)?)", re.MULTILINE)


def commands() -> Iterator[tuple[str, str]]:
    """Page and command, of every `hubbub …` in code."""
    for page in PAGES:
        code = "\n".join(re.findall(r"`hubbub [^`\n]+`|^.*\bhubbub .*$", page.read_text(), re.M))
        for command, name in _COMMAND.findall(code):
            if name in COMMANDS:
                yield str(page.relative_to(ROOT)), command.strip()


@pytest.mark.parametrize(("page", "command"), sorted(set(commands())))
def test_every_command_of_a_page_can_be_typed(page: str, command: str) -> None:
    """Its options exist; what stands in capitals or with an ellipsis is a placeholder."""
    words = shlex.split(command.replace("…", "x"))
    if len(words) > 2:  # else it is only named
        parser, _ = _parser(words[1])
        parser.parse_args(words[1:])


def test_what_operations_shows_is_run_or_called_an_illustration() -> None:
    """Blocks of `make` and of `hubbub` are tried by other tests; all others have to say it."""
    unclear = []
    for lead, block in _BLOCK.findall(OPERATIONS.read_text()):
        tried = all(line.startswith(("make ", "hubbub ")) for line in block.splitlines())
        if not tried and "llustration" not in lead:
            unclear.append(block)

    assert len(_BLOCK.findall(OPERATIONS.read_text())) > 5
    assert not unclear


def test_no_page_names_a_command_that_is_not_there() -> None:
    named = {
        name
        for page in PAGES
        for name in re.findall(r"`hubbub ([a-z][a-z-]+)[ `]", page.read_text())
    }

    assert len(named) > 5
    assert named <= set(COMMANDS)
