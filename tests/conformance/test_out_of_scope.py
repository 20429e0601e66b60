"""Conformance: what is not offered answers as the page about the protocol says."""

from __future__ import annotations

import json

import pytest

from hubbub.doors.out_of_scope import (
    ENDPOINT_ANSWERS,
    ENDPOINTS_NOT_FOUND,
    METHOD_ANSWERS,
    METHODS_NOT_FOUND,
)
from tests.conformance.conftest import SignIn
from tests.conformance.ddp import CallFailed
from tests.conformance.rest import Rest, User

pytestmark = pytest.mark.conformance

NO_ENDPOINT = {
    "success": False,
    "status": "error",
    "error": "API endpoint does not exist.",
    "message": "API endpoint does not exist.",
}


def named(patterns: tuple[str, ...]) -> list[str]:
    """A name for each pattern."""
    return [pattern.replace("*", "something") for pattern in patterns]


async def test_methods_that_do_not_exist(sign_in: SignIn, rest: Rest, ana: User) -> None:
    """404 over the socket and by REST, and the socket stays."""
    socket = await sign_in(ana)
    for name in named(METHODS_NOT_FOUND):
        with pytest.raises(CallFailed) as refused:
            await socket.call(name, {})
        envelope = {"msg": "method", "id": "1", "method": name, "params": [{}]}
        answer = await rest.post("method.call/x", ana, message=json.dumps(envelope))

        assert refused.value.code == 404
        assert refused.value.error["reason"] == f"Method '{name}' not found"
        assert json.loads(answer["message"])["error"] == refused.value.error
    await socket.settle()


async def test_methods_with_an_answer_of_their_own(sign_in: SignIn, ana: User) -> None:
    socket = await sign_in(ana)

    answers = {name: await socket.call(name) for name in METHOD_ANSWERS}

    assert answers == METHOD_ANSWERS


async def test_endpoints_that_do_not_exist(rest: Rest, ana: User) -> None:
    """404, whoever asks and however."""
    for name in named(ENDPOINTS_NOT_FOUND):
        for method, user in (("GET", ana), ("POST", ana), ("GET", None)):
            answer = await rest.ask(method, f"/api/v1/{name}", user=user)

            assert (answer.status, answer.body) == (404, NO_ENDPOINT), (method, name)


async def test_endpoints_with_an_answer_of_their_own(rest: Rest, ana: User) -> None:
    answers = {name: await rest.get(name, ana) for name in ENDPOINT_ANSWERS}

    assert answers == {name: {**body, "success": True} for name, body in ENDPOINT_ANSWERS.items()}
