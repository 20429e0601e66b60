"""What a type checker says about calls: mistakes are found before anything runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from textwrap import dedent

from mypy import api

ROOT = Path(__file__).parents[3]

PREFIX = """
from hubbub.bus import Bus, LocalBus
from tests.unit.bus.shop import Order, Shop, Sold

async def use(bus: Bus) -> None:
    shop = bus.proxy(Shop)
"""

GOOD = """
    price: int = await shop.price("tea", amount=2)
    order: Order = await shop.buy(order=Order(item="tea"))
    await bus.publish(Sold(item="tea"))
    local: Bus = LocalBus()
"""

BAD = """
    await shop.prise("tea")
    await shop.price(5)
    await shop.price()
    await shop.price("tea", colour="red")
    wrong: str = await shop.price("tea")
    shop.price("tea")
    await bus.publish("tea")
    bus.proxy(Order)
"""

EXPECTED = [
    "attr-defined",
    "arg-type",
    "call-arg",
    "call-arg",
    "assignment",
    "unused-coroutine",
    "arg-type",
    "type-var",
]


def check(code: str, folder: Path) -> list[tuple[int, str]]:
    """(line, error code) of each complaint."""
    snippet = folder / "snippet.py"
    snippet.write_text(dedent(code))
    output, problem, _ = api.run(
        [
            str(snippet),
            f"--config-file={ROOT / 'pyproject.toml'}",
            f"--python-executable={sys.executable}",
            f"--cache-dir={ROOT / '.mypy_cache'}",
            "--no-error-summary",
            "--follow-imports=silent",
        ]
    )
    assert not problem
    return [
        (int(line), code)
        for line, code in re.findall(r"snippet\.py:(\d+): error: .*\[([a-z-]+)\]", output)
    ]


def test_right_calls_are_right(tmp_path: Path) -> None:
    """Arguments, results and events have their types."""
    assert check(PREFIX + GOOD, tmp_path) == []


def test_each_mistake_is_found(tmp_path: Path) -> None:
    """A misspelt method, a wrong, missing or unknown argument, a wrong result, no await."""
    complaints = check(PREFIX + BAD, tmp_path)

    first = PREFIX.count("\n") + 2
    assert complaints == list(enumerate(EXPECTED, start=first))
