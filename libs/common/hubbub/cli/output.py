"""How commands print: tables for people, JSON for programs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 240  # characters


def json_argument(parser: argparse.ArgumentParser) -> None:
    """The option that every listing has."""
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def as_json(value: object) -> str:
    """`value` for a program, readable by a person too."""
    return orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table. What stands in it is shown as it is, never read as markup."""
    made = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for column, title in enumerate(titles):
        made.add_column(title, overflow="fold", no_wrap=column == 0)
    for row in rows:
        made.add_row(*(Text(cell) for cell in row))
    # A pipe has no width; a program that cuts columns wants whole lines.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(made)
