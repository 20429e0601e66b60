"""What harmful apps do to others is shown as it was measured."""

from __future__ import annotations

import ast

import pytest

from benchmarks.app_attacks import ATTACKS, BEGIN, END, PAGE, Row, table, written
from benchmarks.load import Count


def count(p50: float, p99: float) -> Count:
    return Count(80, 0, 80, 0, 0, {}, {"p50": p50, "p99": p99})


ROW = Row(
    ATTACKS["loop"],
    "runs on",
    onset=count(9, 500),
    during=count(5, 30),
    without=(count(3, 8), count(5, 12)),
)


def test_the_table_has_both_and_how_much_it_grew() -> None:
    assert ROW.growth("p99") == 3
    assert table([ROW]).splitlines()[-1] == (
        "| endless loop | runs on | 4.00 / 10.0 | 9.00 / 500 | 5.00 / 30.0 | 1.25 / 3.00 |"
    )


def test_the_page_keeps_all_else() -> None:
    page = PAGE.read_text()
    found = written(page, [ROW], load_before=0.2)
    assert found.partition(BEGIN)[0] == page.partition(BEGIN)[0]
    assert found.partition(END)[2] == page.partition(END)[2]
    assert "endless loop | runs on" in found
    assert "was busy with" not in found
    assert "was busy with other work (7.0" in written(page, [ROW], load_before=7)
    with pytest.raises(ValueError, match="no markers"):
        written("# Another page\n", [ROW], load_before=0)


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_python(name: str) -> None:
    for text in ATTACKS[name].files.values():
        ast.parse(text)
