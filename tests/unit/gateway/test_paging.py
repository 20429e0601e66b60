"""Pages, orders, fields and conditions."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubbub.contracts.documents import Paging
from hubbub.errors import HubbubError
from services.gateway.rest.paging import (
    EVERYTHING,
    Condition,
    Differs,
    Equals,
    Holds,
    OneOf,
    PagingRules,
    cut,
    parse_conditions,
    parse_fields,
    parse_paging,
    sorted_by,
)
from services.gateway.rest.requests import Parameters

ALL: Collection[type[Condition]] = (Equals, Differs, OneOf, Holds)


def query(**values: str) -> Parameters:
    return Parameters(values, textual=True)


@pytest.mark.parametrize(
    ("wanted", "rules", "count"),
    [
        (None, PagingRules(), 50),
        ("7", PagingRules(), 7),
        ("1000", PagingRules(), 100),
        ("0", PagingRules(), EVERYTHING),
        ("0", PagingRules(allow_infinite=False), 50),
        ("-5", PagingRules(), 50),
        ("x", PagingRules(default_count=20), 20),
    ],
)
def test_counts(wanted: str | None, rules: PagingRules, count: int) -> None:
    """Too many is cut, 0 is everything where that is allowed, rubbish is the default."""
    parameters = query(count=wanted) if wanted is not None else query()

    assert parse_paging(parameters, rules).count == count


def test_unknown_sort_keys_are_ignored() -> None:
    """Only listed keys reach a service."""
    paging = parse_paging(
        query(sort='{"services.password":1,"name":-1}'), PagingRules(), sortable={"name"}
    )

    assert paging.sort == {"name": -1}


@pytest.mark.parametrize(
    "sort", ["x", "[]", '{"a":0}', '{"a":"1"}', '{"a":{"$gt":1}}', '{"a":null}']
)
def test_wrong_sorts(sort: str) -> None:
    """The text comes back in the refusal."""
    with pytest.raises(HubbubError) as caught:
        parse_paging(query(sort=sort), PagingRules())

    assert caught.value.message == (
        f'Invalid sort parameter provided: "{sort}" [error-invalid-sort]'
    )


def test_fields_only_narrow() -> None:
    """Included, excluded, dotted; the id stays."""
    document = {"_id": "1", "name": "a", "settings": {"x": 1}, "roles": []}

    assert parse_fields(query(fields='{"name":1}')).of(document) == {"_id": "1", "name": "a"}
    assert parse_fields(query(fields='{"name":0}')).of(document).keys() == {
        "_id",
        "settings",
        "roles",
    }
    assert parse_fields(query(fields='{"settings.x":1}')).of(document).keys() == {
        "_id",
        "settings",
    }
    assert parse_fields(query(fields='{"password":1}')).of(document) == {"_id": "1"}
    assert parse_fields(query()).of(document) == document


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ('{"a":"x"}', Equals("x")),
        ('{"a":{"$ne":"x"}}', Differs("x")),
        ('{"a":{"$in":["x",1]}}', OneOf(("x", 1))),
        ('{"a":{"$regex":"x.*"}}', Holds("x.*", False)),
        ('{"a":{"$regex":"x","$options":"i"}}', Holds("x", True)),
    ],
)
def test_known_conditions(text: str, condition: Condition) -> None:
    """The four forms that clients use."""
    assert parse_conditions(query(query=text), {"a": ALL}) == {"a": condition}


@pytest.mark.parametrize(
    "text",
    [
        '{"b":1}',
        '{"$where":"1"}',
        '{"a":null}',
        '{"a":[]}',
        '{"a":{}}',
        '{"a":{"$gt":""}}',
        '{"a":{"$ne":{"$gt":""}}}',
        '{"a":{"$in":[{"$gt":""}]}}',
        '{"a":{"$in":"x"}}',
        '{"a":{"$regex":"x","$options":"s"}}',
        '{"a":{"$regex":{"$gt":1}}}',
        '{"a":{"$ne":1,"$regex":"x"}}',
        "[]",
        "rubbish",
    ],
)
def test_other_conditions_are_refused(text: str) -> None:
    """Unknown keys, unknown operators, nested ones."""
    with pytest.raises(HubbubError) as caught:
        parse_conditions(query(query=text), {"a": ALL})

    assert caught.value.code == "error-invalid-query"


def test_conditions_of_the_wrong_kind_are_refused() -> None:
    """An endpoint lists what it can answer."""
    with pytest.raises(HubbubError):
        parse_conditions(query(query='{"a":"x"}'), {"a": (Differs,)})


documents = st.lists(
    st.fixed_dictionaries(
        {"_id": st.text(min_size=1, max_size=3)},
        optional={"name": st.one_of(st.text(max_size=2), st.integers(), st.none(), st.booleans())},
    ),
    unique_by=lambda document: document["_id"],
)


@given(documents, st.sampled_from([1, -1]), st.integers(1, 4))
def test_pages_never_repeat_or_skip(items: list[dict[str, Any]], direction: int, size: int) -> None:
    """All pages together are the list, whatever its values and ties."""
    pages = []
    for offset in range(0, len(items) + size, size):
        ordered = sorted_by(items, {"name": direction}, "name")
        pages += cut(ordered, Paging(offset=offset, count=size)).items

    assert sorted(item["_id"] for item in pages) == sorted(item["_id"] for item in items)


def test_order_ignores_case_and_puts_absent_ones_first() -> None:
    """As people expect a list of names."""
    items = [{"_id": "1", "name": "b"}, {"_id": "2", "name": "A"}, {"_id": "3"}]

    assert [item["_id"] for item in sorted_by(items, None, "name")] == ["3", "2", "1"]
