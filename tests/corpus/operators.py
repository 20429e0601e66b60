"""Database operators in every place where a text, a list or a flag belongs (row 10).

Made from the table of methods and from the models of all endpoints, so that new ones are covered
as soon as they exist. All of these cases are refused before anything happens.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from hubbub.doors.methods import Method
from services.gateway.rest import openapi
from services.gateway.rest.router import Endpoint
from tests.corpus import Case

OPERATORS: Final[dict[str, Any]] = {
    "$ne": {"$ne": None},
    "$gt": {"$gt": ""},
    "$regex": {"$regex": ".*"},
    "$in": {"$in": ["<room>", "<foreign>"]},
    "$where": {"$where": "sleep(5000)"},
}

_FOR_ENDPOINTS: Final = ("$ne", "$where")
"""Endpoints are many, and one check stands behind all of them."""

_REAL: Final = {
    "rid": "<room>",
    "roomId": "<room>",
    "room_id": "<room>",
    "roomName": "<room-name>",
    "_id": "<message>",
    "mid": "<message>",
    "tmid": "<message>",
    "msgId": "<message>",
    "messageId": "<message>",
    "message_id": "<message>",
    "userId": "<other>",
    "username": "<other-name>",
    "user": "<other-name>",
    "msg": "x",
    "text": "x",
    "name": "x",
}
"""What a good call would have, by the name of the parameter."""

_MATCH_FAILED: Final = {"error": 400}
_OR_THE_BEGINNING: Final = {"error": [400, None]}
"""For some methods whatever is no date means "from the beginning": a known client sends `{}`."""
_INVALID: Final = {"status": [400, 401, 403]}


def of_methods(methods: Iterable[Method]) -> Iterator[Case]:
    """Each parameter of each method, and each text inside of the objects that it takes."""
    for method in methods:
        parameters = [one.adapter.json_schema() for one in method._parameters]
        good = [_good(schema, schema) for schema in parameters]
        for index, schema in enumerate(parameters):
            for where, place in _places(schema, schema):
                for label, operator in OPERATORS.items():
                    yield Case(
                        id=f"{method.name}, parameter {index}{where}: {label}",
                        row=10,
                        surface="method",
                        sent={
                            "method": method.name,
                            "params": [*good[:index], place(operator), *good[index + 1 :]],
                        },
                        expected=_OR_THE_BEGINNING if _is_date(schema) else _MATCH_FAILED,
                    )


def of_endpoints(endpoints: Iterable[Endpoint]) -> Iterator[Case]:
    """Each text, list and flag of each model: in a body as JSON, in a query as text."""
    rows = [row for row in endpoints if row.asked is not None]
    components = openapi.document(rows, version="")["components"]["schemas"]
    root = {"components": {"schemas": components}}
    for row in rows:
        assert row.asked is not None
        path = row.path.removeprefix("/api/v1/").replace("*", "<room>")
        schema = row.asked.model_json_schema()
        for name, field in schema.get("properties", {}).items():
            if not _is_checked(field, {**root, **schema}):
                continue
            case = {"verb": row.method, "path": path}
            if row.method == "GET":
                yield from _in_queries(row, case, name)
                continue
            for label in _FOR_ENDPOINTS:
                yield Case(
                    id=f"{row.method} {row.name}, {name}: {label}",
                    row=10,
                    surface="rest",
                    sent={**case, "body": {**_good_body(schema), name: OPERATORS[label]}},
                    expected=_INVALID,
                )


def _in_queries(row: Endpoint, case: dict[str, Any], name: str) -> Iterator[Case]:
    """As a key with brackets it is another parameter; as JSON it is a text like any other."""
    for form, query in (
        ("brackets", f"{name}[$ne]=x"),
        ("JSON", f"{name}={{%22$where%22:%22sleep(5000)%22}}"),
    ):
        yield Case(
            id=f"{row.method} {row.name}, {name}: an operator as {form}",
            row=10,
            surface="rest",
            sent={**case, "query": query},
            expected={"status": [200, 400, 401, 403, 404]},
        )


def _good_body(schema: dict[str, Any]) -> dict[str, Any]:
    return {name: _REAL[name] for name in schema.get("properties", {}) if name in _REAL}


def _is_checked(field: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether a wrong type is refused. Numbers count as absent then, objects take what comes."""
    types = set(_types(field, root))
    return bool(types) and not types & {"integer", "number", "object", "any"}


def _types(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[str]:
    if "$ref" in schema:
        yield from _types(_resolved(schema["$ref"], root), root)
        return
    for way in ("anyOf", "oneOf", "allOf"):
        for one in schema.get(way, ()):
            yield from _types(one, root)
    if "enum" in schema or "const" in schema:
        yield "string"
    elif isinstance(schema.get("type"), str):
        if schema["type"] != "null":
            yield schema["type"]
    elif not any(way in schema for way in ("anyOf", "oneOf", "allOf")):
        yield "any"


def _is_date(schema: dict[str, Any]) -> bool:
    return any(one.get("format") == "date-time" for one in (schema, *schema.get("anyOf", ())))


def _resolved(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    result: dict[str, Any] = found
    return result


def _places(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Where in a value of `schema` an operator is refused: a name, and how to put it there."""
    if _is_checked(schema, root):
        yield "", lambda operator: operator
        return
    for model in _models(schema, root):
        good = _good(model, root)
        for name, field in model.get("properties", {}).items():
            if _is_checked(field, root):

                def put(operator: Any, name: str = name, good: Any = good) -> Any:
                    return {**good, name: operator}

                yield f".{name}", put


def _models(schema: dict[str, Any], root: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Objects with known fields that a value may be. Several: none, one may take the other's."""
    found = [schema]
    if "anyOf" in schema:
        found = schema["anyOf"]
    resolved = [_resolved(one["$ref"], root) if "$ref" in one else one for one in found]
    models = [one for one in resolved if one.get("properties")]
    others = [one for one in resolved if one.get("type") == "object" and not one.get("properties")]
    if len(models) == 1 and not others:
        yield models[0]


def _good(schema: dict[str, Any], root: dict[str, Any]) -> Any:
    for model in _models(schema, root):
        return {name: _REAL[name] for name in model["properties"] if name in _REAL}
    types = set(_types(schema, root))
    return "<room>" if types == {"string"} else None
