"""What the queries on users share: field names, indexes, look-ups without regard to case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.asynchronous.collection import AsyncCollection
from pymongo.collation import Collation

from hubbub.mongo import Document

TOKENS = "services.resume.loginTokens"
BCRYPT = "services.password.bcrypt"
ARGON2 = "services.password.argon2"
CASELESS = Collation(locale="en", strength=2)
"""Compares without regard to case; accents count."""
QUERY_TIMEOUT = 4.0
"""Seconds that the queries of one call may take."""

SORTABLE = {
    "_id": [("_id", 1)],
    "username": [("username", 1)],
    "name": [("name", 1), ("username", 1)],
    "createdAt": [("createdAt", 1), ("_id", 1)],
    "status": [("status", 1), ("username", 1)],
}
"""Sort key of a list of users → the index that serves it."""


def password_field(stored: str) -> str:
    """Where a password hash is stored; other servers look for each kind in its own place."""
    return ARGON2 if stored.startswith("$argon2") else BCRYPT


def password_change(stored: str) -> tuple[Document, Document]:
    """What to `$set` and to `$unset` for a new password hash."""
    field = password_field(stored)
    return {field: stored}, {BCRYPT if field == ARGON2 else ARGON2: 1}


async def find_like(
    users: AsyncCollection[Document], kind: str, value: str, fields: Mapping[str, Any]
) -> Document | None:
    """The user with this `username` or `email`: the exact one, else without regard to case if
    only one fits."""
    field = "emails.address" if kind == "email" else "username"
    # Two fit when another server allowed twins; more than a few make no difference.
    found = await users.find({field: value}, fields, collation=CASELESS).to_list(20)
    exact = [user for user in found if _has(user, kind, value)]
    if exact:
        return exact[0]
    return found[0] if len(found) == 1 else None


def _has(user: Document, kind: str, value: str) -> bool:
    if kind == "email":
        return any(email.get("address") == value for email in user.get("emails", []))
    return user.get("username") == value
