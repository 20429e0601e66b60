"""Rubbish for every endpoint: names that mean something, values that do not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from services.gateway.rest.router import Endpoint, Table

NAMES = (
    "roomId roomName rid msgId messageId tmid text channel message name members type user userId"
    " username usernames userIds password email status data emoji updatedSince lastUpdate count"
    " offset sort fields query ids selector latest oldest tokenName activeStatus topic"
    " description announcement readOnly default joinCode customFields favorite action secret pass"
).split()

VALUES: tuple[Any, ...] = (
    None,
    "",
    "x",
    "a/../b",
    "\u202e\u200d" * 20,
    "*",
    ">",
    "a.b c",
    "x" * 10_000,
    "\ud7ff\U0010ffff",
    0,
    -1,
    1.5,
    2**62,
    True,
    [],
    ["x"],
    [[["x"]]],
    [None],
    {},
    {"$ne": None},
    {"$gt": ""},
    {"$where": "sleep(1)"},
    {"$date": 1e17},
    {"a": {"b": {"$regex": ".*"}}},
)

TEXTS = (
    "",
    "x",
    "%",
    "%zz",
    "%E2%82%AC",
    "{",
    "[]",
    "{}",
    '{"$ne":1}',
    '{"a":{"$gt":""}}',
    "0",
    "-1",
    "1e9",
    "2026-02-30",
    "*",
    "%3E",
    "a%2Fb",
    "%2e%2e%2f",
    "%F0%9F%98%80",
    "%e2%80%ae",
    "true",
    "null",
)


def bodies() -> Iterator[dict[str, Any]]:
    """Every value under every name at once, and a few names apart."""
    for value in VALUES:
        yield dict.fromkeys(NAMES, value)
        yield {"roomId": "x", "msgId": "x", "text": "x", "message": value, "data": value}


def queries() -> Iterator[str]:
    """Every text under every name at once, as it stands and as a list."""
    for text in TEXTS:
        yield "&".join(f"{name}={text}" for name in NAMES)
        yield "&".join(f"{name}[]={text}" for name in NAMES)


def endpoints(table: Table) -> Iterator[Endpoint]:
    """All but those that end the sign-in that the others need."""
    for endpoint in table:
        if endpoint.name not in {"logout", "users.logoutOtherClients", "users.logout"}:
            yield endpoint


def tells_how_it_went(status: int, body: Any) -> bool:
    """Whether the body of an answer says in `success` what its status says.

    A few endpoints answer a bare list or value, or a document of another standard.
    """
    if not isinstance(body, dict) or "openapi" in body:
        return status < 300
    return body.get("success") is (status < 300)
