"""The description of the API says what the table of endpoints says."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import Field

from services.gateway.rest import openapi
from services.gateway.rest.answers import Answer
from services.gateway.rest.asked import Asked, Flag, Paged, Required, Word, Words
from services.gateway.rest.call import Call
from services.gateway.rest.endpoints import table
from services.gateway.rest.router import Endpoint, Routes

TABLE = list(table())


class Part(Asked):
    """A part of something."""

    long_name: Word | None = None


class Change(Asked):
    """What is to change."""

    room_id: Required
    """The room."""
    is_open: Flag = True
    parts: list[Part] = Field(default=[])


class Search(Paged):
    """What to look for."""

    text: Required
    """Words."""
    ids: Words = Field(default=[])


def described() -> dict[str, Any]:
    routes = Routes()

    @routes.post("things.change", permission="change-things")
    async def change(call: Call, asked: Change) -> None:
        """Change a thing."""

    @routes.get("things.find", access="optional")
    async def find(call: Call, asked: Search) -> dict[str, Any]:
        """Things that hold a text."""
        return {}

    @routes.post("things.old/*", access="anonymous")
    async def old(call: Call) -> Answer:
        """Without a model."""
        return Answer([])

    document = openapi.document(routes.endpoints, version="1.2.3")
    assert not problems(document)
    return document


def problems(document: dict[str, Any]) -> list[str]:
    return [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()]


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """The description of everything."""
    return openapi.document(TABLE, version="8.0.0")


def test_the_whole_description_is_valid() -> None:
    """By the rules of OpenAPI 3.1, and so are the bytes that are served."""
    text = openapi.encoded(TABLE, version="8.0.0")

    assert not problems(orjson.loads(text))


@pytest.mark.parametrize("endpoint", TABLE, ids=lambda one: f"{one.method} {one.path}")
def test_every_endpoint_is_described(whole: dict[str, Any], endpoint: Endpoint) -> None:
    """With a summary, its access, and every parameter that its model has."""
    template = endpoint.path.replace("*", "{rest}")
    operation = whole["paths"][template][endpoint.method.lower()]

    assert operation["summary"]
    assert bool(operation["security"]) is (endpoint.access != "anonymous")
    assert ({} in operation["security"]) is (endpoint.access == "optional")
    assert operation.get("x-permission") == endpoint.permission
    wanted = set()
    if endpoint.asked is not None:
        fields = endpoint.asked.model_fields.items()
        wanted = {field.alias or name for name, field in fields}
    assert parameters(whole, operation) == wanted


def parameters(document: dict[str, Any], operation: dict[str, Any]) -> set[str]:
    found = {
        one["name"].removesuffix("[]")
        for one in operation.get("parameters", ())
        if one["in"] == "query"
    }
    if "requestBody" in operation:
        reference = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"]
        schema = document["components"]["schemas"][reference.rpartition("/")[2]]
        found |= set(schema.get("properties", ()))
    return found


def test_the_table_and_the_description_have_as_many_rows(whole: dict[str, Any]) -> None:
    assert sum(len(methods) for methods in whole["paths"].values()) == len(TABLE)


def test_a_body() -> None:
    """Wire names, what is required, defaults; null is not told of."""
    document = described()
    operation = document["paths"]["/api/v1/things.change"]["post"]

    assert operation["security"] == [{"token": [], "user": []}]
    assert operation["description"] == "Needs the permission `change-things`."
    assert operation["requestBody"]["required"] is True
    assert document["components"]["schemas"]["Change"] == {
        "type": "object",
        "title": "Change",
        "description": "What is to change.",
        "required": ["roomId"],
        "properties": {
            "roomId": {"type": "string", "minLength": 1, "description": "The room."},
            "isOpen": {"type": "boolean", "default": True},
            "parts": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Part"},
                "default": [],
            },
        },
    }
    assert document["components"]["schemas"]["Part"]["properties"] == {
        "longName": {"type": "string"}
    }


def test_a_query() -> None:
    """Each field of the model is a parameter; a list is written `key[]`."""
    operation = described()["paths"]["/api/v1/things.find"]["get"]
    by_name = {one["name"]: one for one in operation["parameters"]}

    assert operation["security"] == [{}, {"token": [], "user": []}]
    assert by_name["text"] == {
        "name": "text",
        "in": "query",
        "required": True,
        "description": "Words.",
        "schema": {"type": "string", "minLength": 1},
    }
    assert by_name["count"]["schema"] == {"type": "integer", "minimum": 0}
    assert by_name["ids[]"]["schema"]["type"] == "array"
    assert "requestBody" not in operation


def test_the_rest_of_a_path() -> None:
    """An endpoint without a model has no parameters but its place in the path."""
    operation = described()["paths"]["/api/v1/things.old/{rest}"]["post"]

    assert [one["name"] for one in operation["parameters"]] == ["rest"]
    assert operation["security"] == []
    assert operation["responses"]["200"]["content"]["application/json"] == {}


def test_refusals_are_told() -> None:
    """The same answers stand at every endpoint, described once."""
    document = described()
    answers = document["paths"]["/api/v1/things.change"]["post"]["responses"]

    assert set(answers) == {"200", "400", "401", "403", "404", "413", "429", "500", "503"}
    for name in ("400", "401", "403", "404", "413", "429", "500", "503"):
        response = answers[name]["$ref"].rpartition("/")[2]
        assert response in document["components"]["responses"]


def test_models_of_one_name_are_told_apart() -> None:
    """Each family may call its model what it likes."""

    def made(family: str) -> type[Asked]:
        annotations = {family: bool}
        return type("Twin", (Asked,), {"__module__": family, "__annotations__": annotations})

    routes = Routes()
    for family in ("left", "right"):

        async def handler(call: Call) -> None:
            """Something."""

        routes.add("POST", f"{family}.do", handler, asked=made(family))
    schemas = openapi.document(routes.endpoints, version="1")["components"]["schemas"]

    assert set(schemas["left.Twin"]["properties"]) == {"left"}
    assert set(schemas["right.Twin"]["properties"]) == {"right"}
