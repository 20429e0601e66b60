"""The smaller rules: endpoints, sign-in bodies, links, pages of changes, limits, addresses."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.messages import NewMessage
from services.gateway.rest.answers import InvalidParams
from services.gateway.rest.application import describe
from services.gateway.rest.cors import Cors
from services.gateway.rest.endpoints import table
from services.gateway.rest.families import attachments
from services.gateway.rest.families.login import NoCredentials, SignIn, credentials
from services.gateway.rest.router import Endpoint, Routes, Table, WrongMethod
from services.gateway.rest.validation import filled

# -- endpoints ----------------------------------------------------------------------------------


async def _handler(call: Any) -> None:
    """Does nothing.

    At length.
    """


def _table() -> Table:
    routes = Routes()
    routes.get("a.b")(_handler)
    routes.post("a.b", "c")(_handler)
    routes.post("m/*")(_handler)
    routes.get("info", unversioned=True)(_handler)
    return Table([routes])


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/api/v1/a.b", "a.b"),
        ("HEAD", "/api/v1/a.b", "a.b"),
        ("POST", "/api/v1/a.b/", "a.b"),
        ("POST", "/api/v1/m/x", "m/*"),
        ("POST", "/api/v1/m/x/y%2Fz/", "m/*"),
        ("GET", "/api/info", "info"),
    ],
)
def test_endpoints_are_found(method: str, path: str, name: str) -> None:
    """By exact name, by prefix, under both roots; one final slash is nothing."""
    found = _table().find(method, path)

    assert isinstance(found, Endpoint)
    assert found.name == name


@pytest.mark.parametrize(
    ("path", "rest"),
    [
        ("/api/v1/m/x", "x"),
        ("/api/v1/m/x/", "x"),
        ("/api/v1/m/x/y", "x/y"),
        ("/api/v1/a.b", ""),
        ("/api/v1/a.b/", ""),
    ],
)
def test_a_prefix_leaves_the_rest_of_the_path(path: str, rest: str) -> None:
    """That is where ids stand in a path."""
    found = _table().find("POST", path)

    assert isinstance(found, Endpoint)
    assert found.rest_of(path) == rest


@pytest.mark.parametrize(
    "path",
    ["/api/v1/A.B", "/api/v1/a.b//", "/api/v1/m/", "/api/v1/m", "/api/v1/info", "/api/a.b", ""],
)
def test_other_addresses_are_none(path: str) -> None:
    """Case counts, and so does the root."""
    assert _table().find("GET", path) is None


def test_wrong_methods_name_the_right_ones() -> None:
    """For the header `Allow`."""
    assert _table().find("PUT", "/api/v1/a.b") == WrongMethod(("GET", "HEAD", "POST"))


def test_two_endpoints_of_one_name_are_a_mistake() -> None:
    """Found when the table is made."""
    routes = Routes()
    routes.get("a", "a")(_handler)
    with pytest.raises(ValueError, match="two endpoints for GET"):
        Table([routes])


def test_the_list_of_endpoints_is_complete() -> None:
    """Every endpoint has a summary, and what has to be there is there."""
    listed = describe(table())
    names = {(row["method"], row["path"].removeprefix("/api/v1/")) for row in listed}

    assert all(row["summary"] for row in listed)
    assert {
        *(
            ("GET", f"{door}.{verb}")
            for door in ("channels", "groups")
            for verb in ("list", "info", "history", "messages", "members")
        ),
        *(
            ("POST", f"{door}.{verb}")
            for door in ("channels", "groups")
            for verb in ("create", "invite", "kick", "leave")
        ),
        *(
            ("GET", f"{door}.{verb}")
            for door in ("im", "dm")
            for verb in ("list", "history", "messages")
        ),
        ("POST", "im.create"),
        ("POST", "dm.create"),
        ("POST", "login"),
        ("GET", "logout"),
        ("POST", "method.call/*"),
        ("POST", "method.callAnon/*"),
    } <= names
    open_to_all = {row["path"] for row in listed if row["access"] != "required"}
    assert open_to_all == {
        "/api/info",
        "/api/apps/actionButtons",
        "/api/apps/*",
        "/api/apps/installed",
        *("/hooks/*", "/hooks/add/*", "/hooks/info/*", "/hooks/remove/*", "/hooks/sample/*"),
        *(
            f"/api/v1/{name}"
            for name in (
                "info login users.register settings.public settings.oauth pw.getPolicy"
                " service.configurations method.callAnon/* users.forgotPassword openapi.json"
                " users.2fa.sendEmailCode users.getAvatar validateInviteToken"
            ).split()
        ),
    }


# -- sign-in ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "parameters"),
    [
        ({"resume": "t"}, {"resume": "t"}),
        ({"user": "a", "password": "p"}, {"user": "a", "password": "p"}),
        (
            {"user": {"email": "a@b"}, "password": "p"},
            {"user": {"email": "a@b"}, "password": "p"},
        ),
        (
            {"username": "a", "email": "b", "password": "p"},
            {"user": {"username": "a"}, "password": "p"},
        ),
        ({"email": "b", "password": "p"}, {"user": {"email": "b"}, "password": "p"}),
        (
            {"user": "", "username": "a", "password": "p"},
            {"user": {"username": "a"}, "password": "p"},
        ),
        (
            {"user": "a", "password": {"digest": "d", "algorithm": "sha-256"}},
            {"user": "a", "password": {"digest": "d", "algorithm": "sha-256"}},
        ),
        (
            {"user": "a", "hashed": "d"},
            {"user": "a", "password": {"digest": "d", "algorithm": "sha-256"}},
        ),
        (
            {"user": "a", "password": "p", "code": "1"},
            {"totp": {"code": "1", "login": {"user": "a", "password": "p"}}},
        ),
    ],
)
def test_sign_in_bodies(body: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Every variant becomes the one that DDP has."""
    assert credentials(filled(SignIn, body)) == parameters


def test_a_code_may_stand_in_a_header() -> None:
    """As phones send it."""
    body = filled(SignIn, {"user": "a", "password": "p"})

    assert credentials(body, "123456")["totp"]["code"] == "123456"


@pytest.mark.parametrize(
    "body", [{}, {"password": "p"}, {"user": "a"}, {"user": {}, "password": "p"}]
)
def test_nobody_signs_in(body: dict[str, Any]) -> None:
    """A name and a secret are needed."""
    with pytest.raises(NoCredentials):
        credentials(filled(SignIn, body))


@pytest.mark.parametrize(
    "body",
    [
        {"user": {"username": {"$ne": None}}, "password": "p"},
        {"user": ["a"], "password": "p"},
        {"user": "a", "password": {"$ne": None}},
        {"user": "a", "password": 5},
        {"resume": {"$gt": ""}},
        {"user": "a", "password": {"digest": {"$gt": ""}}},
    ],
)
def test_operators_do_not_sign_in(body: dict[str, Any]) -> None:
    """Refused before the account service hears of it."""
    with pytest.raises((InvalidParams, NoCredentials)):
        credentials(filled(SignIn, body))


# -- links and models ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "link", ["https://a.example", "http://a", "/file-upload/1/a.png", "a.png", "#x", "//a.example"]
)
def test_links_to_pages(link: str) -> None:
    """Web addresses and places of this site."""
    assert attachments.link_is_safe(link)


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "\x01javascript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "http://[x",
    ],
)
def test_links_that_run_something(link: str) -> None:
    """However they are written."""
    assert not attachments.link_is_safe(link)


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ([], []),
        ([{"text": "a", "title_link": "https://a", "actions": [{"url": "https://a"}]}], []),
        ([{"unknown": {"kept": True}}], []),
        ({}, ["must be array"]),
        (["x"], ["must be object"]),
        ([{"text": {"$ne": 1}}], ["must be string"]),
        ([{"image_url": "javascript:1"}], ['must match format "uri"']),
        ([{"actions": {"url": "x"}}], ["must be array"]),
        ([{"actions": [{"url": "javascript:1"}]}], ['must match format "uri"']),
        ([{"actions": [{"image": 5}]}], ['must match format "uri"']),
    ],
)
def test_attachments(value: Any, found: list[str]) -> None:
    """What may be sent, and the words for what may not."""
    assert attachments.problems(value) == found


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"msg": "x"}, "must have required property 'rid'"),
        ({"rid": "r", "msg": 5}, "must be string"),
        ({"rid": ""}, "must NOT have fewer than 1 characters"),
        ({"rid": "r", "tshow": "yes"}, "must be boolean"),
        ({"rid": "r", "attachments": {}}, "must be array"),
        ({"rid": "r", "customFields": []}, "must be object"),
        ({"rid": "r", "_id": "a b"}, 'must match pattern "^[A-Za-z0-9-]{1,64}$"'),
        ({"rid": "r", "msg": "a\x00"}, "must be valid"),
    ],
)
def test_sentences_of_the_validator(values: dict[str, Any], sentence: str) -> None:
    """Clients compare these words; the caller's data is not repeated."""
    with pytest.raises(InvalidParams) as caught:
        filled(NewMessage, values)

    assert caught.value.reason == sentence


# -- origins ------------------------------------------------------------------------------------


def test_origins() -> None:
    """Off, listed, all."""
    off, listed, everybody = Cors(""), Cors("https://a, https://b"), Cors("*")

    assert off.accepts("https://evil")
    assert off.headers("https://evil") == {}
    assert listed.accepts(None)
    assert listed.accepts("https://b")
    assert not listed.accepts("https://b.evil")
    assert everybody.accepts("https://evil")
    assert everybody.headers(None)["Access-Control-Allow-Origin"] == "*"
