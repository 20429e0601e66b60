"""Models filled from a body, with the sentences that clients know for what is wrong in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from services.gateway.rest.answers import InvalidParams
from services.gateway.rest.requests import WrongValue

M = TypeVar("M", bound=BaseModel)

_SENTENCES = {
    "string_type": "must be string",
    "string_too_short": "must NOT have fewer than 1 characters",
    "bool_type": "must be boolean",
    "bool_parsing": "must be boolean",
    "int_type": "must be integer",
    "int_parsing": "must be integer",
    "float_type": "must be number",
    "dict_type": "must be object",
    "model_type": "must be object",
    "list_type": "must be array",
    "tuple_type": "must be array",
}


def filled(model: type[M], values: Mapping[str, Any], *, textual: bool = False) -> M:
    """`model` from `values`; keys with null count as absent.

    `textual`: the values come from a query string or a form. Raises: InvalidParams.
    """
    given = {key: value for key, value in values.items() if value is not None}
    try:
        return model.model_validate(given, context={"textual": textual})
    except ValidationError as error:
        raise InvalidParams(*(_sentence(problem) for problem in error.errors())) from None


def _sentence(problem: Any) -> str:
    if problem["type"] == "missing":
        return f"must have required property '{problem['loc'][-1]}'"
    known = _SENTENCES.get(problem["type"])
    if known is not None:
        return known
    if problem["type"] == "value_error" and isinstance(problem["ctx"]["error"], WrongValue):
        return str(problem["ctx"]["error"])
    if problem["type"] == "literal_error":
        return "must be equal to one of the allowed values"
    if problem["type"] == "string_pattern_mismatch":
        return f'must match pattern "{problem["ctx"]["pattern"]}"'
    if problem["type"] == "too_short":
        # Texts, too: a validator of ours stands before the one that counts.
        unit = "items" if problem["ctx"]["field_type"] == "List" else "characters"
        return f"must NOT have fewer than {problem['ctx']['min_length']} {unit}"
    if problem["type"] == "too_long":
        return f"must NOT have more than {problem['ctx']['max_length']} items"
    if problem["type"] == "string_too_long":
        return f"must NOT have more than {problem['ctx']['max_length']} characters"
    return "must be valid"
