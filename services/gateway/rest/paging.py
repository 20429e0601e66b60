"""Which part of a list is wanted: `count`, `offset`, `sort`, `fields`, `query`.

None of it reaches a database as it came: keys are checked against lists, operators against the
four that are known, and what is left is plain values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from hubbub.contracts.documents import Page, Paging
from services.gateway.rest.answers import Refusal
from services.gateway.rest.asked import Listed, Paged, ask
from services.gateway.rest.requests import Parameters, json_object

EVERYTHING = 5000  # items; what "all of them" means at most
MAX_OFFSET = 1_000_000  # items that can be skipped
_MAX_LISTED = 1000  # values of one `$in`
_MAX_SHOWN = 200  # characters of a wrong parameter that an error repeats


@dataclass(frozen=True, slots=True)
class PagingRules:
    """The workspace's settings about pages."""

    default_count: int = 50
    upper_count: int = 100
    allow_infinite: bool = True

    def count(self, wanted: int | None, default: int | None = None) -> int:
        """Items of a page, for what the client wrote: too many is cut, not refused."""
        usual = self.default_count if default is None else default
        if wanted is None:
            return min(usual, EVERYTHING)
        if wanted == 0:
            return EVERYTHING if self.allow_infinite else usual
        return min(wanted, self.upper_count, EVERYTHING)


def parse_paging(
    query: Paged | Parameters,
    rules: PagingRules,
    *,
    sortable: Collection[str] = (),
    default_count: int | None = None,
) -> Paging:
    """The wanted page. Raises: Refusal: `error-invalid-sort`."""
    wanted = ask(Paged, query) if isinstance(query, Parameters) else query
    sort = _sort(wanted.sort, sortable)
    return Paging(
        offset=min(wanted.offset or 0, MAX_OFFSET),
        count=rules.count(wanted.count, default_count),
        sort=sort or None,
    )


def paged(key: str, page: Page, paging: Paging) -> dict[str, Any]:
    """The body of a paged answer, its items under `key`."""
    return {
        key: page.items,
        "count": len(page.items),
        "offset": paging.offset,
        "total": page.total,
    }


def cut(items: Sequence[dict[str, Any]], paging: Paging) -> Page:
    """One page of a list that is known whole."""
    return Page(items=list(items[paging.offset : paging.offset + paging.count]), total=len(items))


def _sort(text: str | None, sortable: Collection[str]) -> dict[str, int]:
    if not text:
        return {}
    wanted = json_object(text)
    if wanted is None or not all(_is_one_of(value, (1, -1)) for value in wanted.values()):
        raise _wrong("sort", text)
    return {key: int(value) for key, value in wanted.items() if key in sortable}


# -- fields -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a document are wanted. It only ever narrows."""

    included: frozenset[str] = frozenset()
    excluded: frozenset[str] = frozenset()

    def of(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """The wanted part of `document`; the id stays."""
        if self.included:
            kept = {"_id", *(path.partition(".")[0] for path in self.included)}
            return {key: value for key, value in document.items() if key in kept}
        return {key: value for key, value in document.items() if key not in self.excluded}

    def without(self, name: str) -> Fields:
        """The same, had nobody asked for `name`."""
        return Fields(self.included - {name}, self.excluded - {name})


def parse_fields(query: Listed | Parameters) -> Fields:
    """The parameter `fields`. Raises: Refusal: `error-invalid-fields`."""
    text = query.text("fields") if isinstance(query, Parameters) else query.fields_
    if not text:
        return Fields()
    wanted = json_object(text)
    if wanted is None or not all(_is_one_of(value, (0, 1)) for value in wanted.values()):
        raise _wrong("fields", text)
    return Fields(
        included=frozenset(key for key, value in wanted.items() if value),
        excluded=frozenset(key for key, value in wanted.items() if not value),
    )


# -- query --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Equals:
    """The field has this value."""

    value: Any


@dataclass(frozen=True, slots=True)
class Differs:
    """The field has another value, or none."""

    value: Any


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values."""

    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Holds:
    """The field holds this text, taken literally."""

    text: str
    ignore_case: bool


Condition = Equals | Differs | OneOf | Holds

_CONDITIONS: Final[Mapping[str, type[Condition]]] = {
    "$ne": Differs,
    "$in": OneOf,
    "$regex": Holds,
}


def parse_conditions(
    query: Listed | Parameters, known: Mapping[str, Collection[type[Condition]]]
) -> dict[str, Condition]:
    """The parameter `query`, for an endpoint that understands `known`.

    Args:
        known: for each key the kinds of condition that the endpoint can answer.

    Raises: Refusal: `error-invalid-query`: no JSON object, another key, another operator.
    """
    text = query.text("query") if isinstance(query, Parameters) else query.query
    if not text:
        return {}
    wanted = json_object(text)
    if wanted is None:
        raise _wrong("query", text)
    conditions = {}
    for key, value in wanted.items():
        condition = _condition(value)
        if condition is None or type(condition) not in known.get(key, ()):
            raise _wrong("query", text)
        conditions[key] = condition
    return conditions


def _condition(value: Any) -> Condition | None:
    if _is_plain(value):
        return Equals(value)
    if not isinstance(value, dict):
        return None
    match value:
        case {"$ne": other, **rest} if not rest and _is_plain(other):
            return Differs(other)
        case {"$in": [*others], **rest} if not rest and len(others) <= _MAX_LISTED:
            return OneOf(tuple(others)) if all(map(_is_plain, others)) else None
        case {"$regex": str(text), **rest} if rest.keys() <= {"$options"}:
            options = rest.get("$options", "")
            return Holds(text, "i" in options) if options in ("", "i") else None
    return None


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _is_one_of(value: Any, allowed: tuple[int, ...]) -> bool:
    return not isinstance(value, bool) and isinstance(value, int | float) and value in allowed


def _wrong(parameter: str, text: str) -> Refusal:
    shown = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…"
    return Refusal(
        f'Invalid {parameter} parameter provided: "{shown}"', code=f"error-invalid-{parameter}"
    )


Key = Callable[[Mapping[str, Any]], Any]


def sorted_by(
    items: Sequence[dict[str, Any]], sort: Mapping[str, int] | None, default: str
) -> list[dict[str, Any]]:
    """`items` in the wanted order; ties by id, so that pages never repeat or skip."""
    ordered = sorted(items, key=lambda item: str(item.get("_id", "")))
    for key, direction in reversed(list((sort or {default: 1}).items())):
        ordered.sort(key=_by(key), reverse=direction < 0)
    return ordered


def _by(name: str) -> Key:
    def key(item: Mapping[str, Any]) -> tuple[int, Any]:
        value = item.get(name)
        if isinstance(value, str):
            return (2, value.casefold())
        if isinstance(value, int | float):
            return (1, value)
        # Absent ones come first; other types are not compared with each other.
        return (0, 0) if value is None else (3, str(value))

    return key
