"""The OpenAPI 3.1 document of the REST API, made from the table of endpoints.

Nothing is written twice: paths, access and permissions come from the table, summaries from
docstrings, parameters from the models that validate them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, get_type_hints

import orjson
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from services.gateway.rest.answers import Answer
from services.gateway.rest.router import Endpoint

Json = dict[str, Any]

_COMPONENT: Final = "#/components/schemas/{model}"
_SIGNED_IN: Final[Json] = {"token": [], "user": []}
"""Both headers; each alone counts for nothing."""

_ABOUT: Final = """\
Parameters of a GET stand in the query, those of other calls in a JSON body or, where only texts
are asked for, in a form. Unknown parameters are ignored and `null` counts as absent. In a query
`key[]` makes a list.

Every answer is JSON and says in `success` how it went, whatever its status. A refusal carries
`error`, a sentence with its code in brackets, and `errorType`, the code alone.
"""

_REFUSALS: Final = {
    "400": ("Refused", "The parameters are wrong, or what they ask for is refused."),
    "401": ("NotSignedIn", "The headers are missing, or the token is unknown by now."),
    "403": ("NotPermitted", "The caller lacks a permission."),
    "404": ("NotFound", "There is no such endpoint, or nothing by this name."),
    "413": ("TooLarge", "The body is larger than the limit."),
    "429": ("TooManyRequests", "Too many calls of this endpoint; `Retry-After` says when again."),
    "500": ("Failure", "A defect of the server; the log has it under `X-Request-Id`."),
    "503": ("Unavailable", "A service does not answer; the same call may succeed later."),
}


def document(endpoints: Iterable[Endpoint], *, version: str) -> Json:
    """The document of `endpoints`, ordered by path. `version`: of the API."""
    rows = sorted(endpoints, key=lambda row: (row.path, row.method))
    schemas, definitions = _schemas(rows)
    paths: dict[str, Json] = {}
    for row in rows:
        operation = _operation(row, schemas.get(row.asked) if row.asked else None, definitions)
        paths.setdefault(_template(row), {})[row.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hubbub", "version": version, "description": _ABOUT},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({_family(row) for row in rows})],
        "paths": paths,
        "components": {
            "schemas": {**definitions, "Success": _success(), "Refusal": _refusal()},
            "responses": {name: _refused(text) for name, text in _REFUSALS.values()},
            "securitySchemes": {
                "token": _header("X-Auth-Token", "A token of `login`, or a personal access token."),
                "user": _header("X-User-Id", "The id of the user to whom the token belongs."),
            },
        },
    }


def encoded(endpoints: Iterable[Endpoint], *, version: str) -> bytes:
    """`document` as JSON."""
    return orjson.dumps(document(endpoints, version=version))


# -- one endpoint -------------------------------------------------------------------------------


def _operation(row: Endpoint, schema: Json | None, definitions: Json) -> Json:
    operation: Json = {
        "operationId": f"{row.method.lower()}_{_identifier(row)}",
        "summary": row.summary,
        "tags": [_family(row)],
        "security": _security(row),
        "responses": _responses(row),
    }
    if row.permission is not None:
        operation["description"] = f"Needs the permission `{row.permission}`."
        operation["x-permission"] = row.permission
    parameters = [_rest_of_path()] if row.name.endswith("/*") else []
    if schema is not None and row.method == "GET":
        parameters += _query(_resolved(schema, definitions))
    elif schema is not None:
        operation["requestBody"] = {
            "required": bool(_resolved(schema, definitions).get("required")),
            "content": {"application/json": {"schema": schema}},
        }
    if parameters:
        operation["parameters"] = parameters
    return operation


def _query(schema: Json) -> list[Json]:
    required = schema.get("required", ())
    parameters = []
    for name, field in schema.get("properties", {}).items():
        field = dict(field)
        parameter: Json = {"name": name, "in": "query", "required": name in required}
        if description := field.pop("description", None):
            parameter["description"] = description
        if field.get("type") == "array":
            parameter |= {"name": f"{name}[]", "style": "form", "explode": True}
        parameters.append({**parameter, "schema": field})
    return parameters


def _rest_of_path() -> Json:
    return {
        "name": "rest",
        "in": "path",
        "required": True,
        "description": "What the call is about, by id or name.",
        "schema": {"type": "string", "minLength": 1},
    }


def _security(row: Endpoint) -> list[Json]:
    match row.access:
        case "required":
            return [_SIGNED_IN]
        case "optional":
            return [{}, _SIGNED_IN]
        case "anonymous":
            return []


def _responses(row: Endpoint) -> Json:
    body: Json = {} if _is_bare(row) else {"schema": {"$ref": "#/components/schemas/Success"}}
    answers: Json = {"200": {"description": "Done.", "content": {"application/json": body}}}
    absent = set()
    if row.access != "required":
        # A sign-in that is refused answers 401, too.
        absent.add("403")
    if row.method == "GET":
        absent.add("413")
    for status, (name, _) in _REFUSALS.items():
        if status not in absent:
            answers[status] = {"$ref": f"#/components/responses/{name}"}
    return answers


def _is_bare(row: Endpoint) -> bool:
    """Whether the handler makes its answer itself, perhaps without `success`."""
    hint = get_type_hints(row.handler).get("return")
    return isinstance(hint, type) and issubclass(hint, Answer)


def _template(row: Endpoint) -> str:
    return row.path.removesuffix("*") + "{rest}" if row.path.endswith("/*") else row.path


def _identifier(row: Endpoint) -> str:
    words = _template(row).removeprefix("/api/")
    return "".join(letter if letter.isalnum() else "_" for letter in words).strip("_")


def _family(row: Endpoint) -> str:
    """The group of endpoints that a reader looks under."""
    return row.name.partition("/")[0].partition(".")[0]


# -- schemas ------------------------------------------------------------------------------------


class _Schemas(GenerateJsonSchema):
    """Schemas as clients meet them: null is the same as absent and is not told of."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default") is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def _schemas(rows: list[Endpoint]) -> tuple[dict[type, Json], Json]:
    """Of each model a reference, and what the references lead to."""
    models = list(dict.fromkeys(row.asked for row in rows if row.asked is not None))
    references, generated = models_json_schema(
        [(model, "validation") for model in models],
        by_alias=True,
        ref_template=_COMPONENT,
        schema_generator=_Schemas,
    )
    definitions = generated.get("$defs", {})
    renamed = {name: _short(name) for name in definitions}
    definitions = {renamed[name]: _plain(entry, renamed) for name, entry in definitions.items()}
    return (
        {model: _plain(schema, renamed) for (model, _), schema in references.items()},
        dict(sorted(definitions.items())),
    )


def _short(name: str) -> str:
    """Classes of one name in several modules come with the path of the module before it."""
    *path, word = name.split("__")
    return f"{path[-1]}.{word}" if path else word


def _plain(value: Any, renamed: dict[str, str]) -> Any:
    if isinstance(value, dict):
        found = {key: _plain(item, renamed) for key, item in value.items()}
        if isinstance(reference := found.get("$ref"), str):
            name = reference.removeprefix(_COMPONENT.format(model=""))
            found["$ref"] = _COMPONENT.format(model=renamed.get(name, name))
        return found
    return [_plain(item, renamed) for item in value] if isinstance(value, list) else value


def _resolved(schema: Json, definitions: Json) -> Json:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found: Json = definitions[reference.removeprefix(_COMPONENT.format(model=""))]
    return found


# -- components ---------------------------------------------------------------------------------


def _success() -> Json:
    return {
        "type": "object",
        "required": ["success"],
        "properties": {"success": {"const": True}},
    }


def _refusal() -> Json:
    return {
        "type": "object",
        "required": ["success"],
        "properties": {
            "success": {"const": False},
            "error": {"type": "string", "description": "A sentence, its code in brackets."},
            "errorType": {"type": "string", "description": "The code alone."},
            "message": {"type": "string"},
            "status": {"const": "error"},
            "details": {},
        },
    }


def _refused(description: str) -> Json:
    schema = {"$ref": "#/components/schemas/Refusal"}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _header(name: str, description: str) -> Json:
    return {"type": "apiKey", "in": "header", "name": name, "description": description}
