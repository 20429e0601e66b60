"""Events are told once, when they are signed."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from incoming_events import app

from hubbub.apps import Response
from hubbub.apps.manifest import WrongSettings
from hubbub.apps.testing import TestClient

PUSH: dict[str, Any] = {
    "ref": "refs/heads/main",
    "pusher": {"name": "ada"},
    "repository": {"full_name": "engines/analytical"},
    "commits": [{"message": "Add the mill\n\nand its cogs"}],
}


@pytest.fixture
def client() -> TestClient:
    client = app.test_client(secret="of the test")
    client.hubbub.room("general")
    return client


def post(
    client: TestClient,
    event: str,
    body: object,
    *,
    secret: str = "of the test",
    delivery: str = "",
) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = hmac.new(secret.encode(), raw, hashlib.sha256).hexdigest()
    headers = {
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery,
        "X-Hub-Signature-256": f"sha256={signature}",
    }
    return client.request("events", raw, headers=headers)


def test_a_push_is_told(client: TestClient) -> None:
    assert post(client, "push", PUSH).status == 200
    (message,) = client.sent
    assert client.room_of(message) == "general"
    assert message.text == "ada pushed one commit to main of engines/analytical\n- Add the mill"


def test_a_long_push(client: TestClient) -> None:
    post(client, "push", PUSH | {"commits": [{"message": f"Number {n}"} for n in range(5)]})
    assert client.sent[0].text.splitlines() == [
        "ada pushed 5 commits to main of engines/analytical",
        "- Number 0",
        "- Number 1",
        "- Number 2",
        "- and 2 more",
    ]


def test_a_pull_request_is_told(client: TestClient) -> None:
    body = {
        "action": "closed",
        "pull_request": {"number": 7, "title": "For @all", "merged": True},
        "repository": {"full_name": "engines/analytical"},
        "sender": {"login": "ada"},
    }
    post(client, "pull_request", body)
    told = "ada merged pull request #7 of engines/analytical: For @\u200ball"
    assert client.sent[0].text == told


def test_a_delivery_that_is_repeated_is_told_once(client: TestClient) -> None:
    for delivery in ("d-1", "d-1", "d-2"):
        assert post(client, "push", PUSH, delivery=delivery).status == 200
    assert len(client.sent) == 2


def test_what_is_not_signed_is_turned_away(client: TestClient) -> None:
    raw = json.dumps(PUSH)
    for headers in ({}, {"X-Hub-Signature-256": "sha256="}, {"X-Hub-Signature-256": "ö"}):
        assert client.request("events", raw, headers=headers).status == 401
    assert post(client, "push", PUSH, secret="another").status == 401
    assert client.sent == []
    assert {line.level for line in client.log} == {"warning"}


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[]", b"null", b"{}", b'{"commits":[1]}'])
def test_what_is_no_event_is_a_bad_request(client: TestClient, body: bytes) -> None:
    assert post(client, "push", body).status == 400
    assert client.sent == []


def test_what_nobody_wants_to_know(client: TestClient) -> None:
    assert post(client, "ping", {"zen": "Less"}).status == 202
    assert post(client, "push", PUSH | {"commits": []}).status == 202
    assert client.sent == []


def test_without_a_secret_it_does_not_start() -> None:
    with pytest.raises(WrongSettings, match="secret: a value is required"):
        app.test_client()
