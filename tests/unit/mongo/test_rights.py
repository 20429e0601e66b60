"""The table of what each service may do in MongoDB, compared with the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubbub.mongo_rights import APPEND, COLLECTIONS, MIGRATE, READ, WRITE, privileges, users

ROOT = Path(__file__).parents[3]
_COLLECTION = re.compile(r"(rocketchat_[a-z_]+|hubbub_[a-z_]+|users|usersSessions|_raix_[a-z_]+)")


def _named(service: str) -> set[str]:
    """Collections that the store of a service names."""
    folder = ROOT / "services" / service.replace("-", "_")
    files = [*folder.glob("store.py"), *folder.glob("store/*.py")]
    assert files, service
    return {text for file in files for text in _texts(file) if _COLLECTION.fullmatch(text)}


def _texts(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


@pytest.mark.parametrize("service", sorted(set(COLLECTIONS) - {"stream-hub"}))
def test_the_table_has_what_the_store_names(service: str) -> None:
    """What is missing would be refused in an installation where everybody signs in."""
    named = _named(service)

    assert named
    assert named <= set(COLLECTIONS[service])


def test_streamers_and_the_operator_have_no_account() -> None:
    """They need no database."""
    assert not {"ddp-streamer", "operator"} & set(users())


def test_nobody_can_change_what_was_audited() -> None:
    """And nobody but account sees it."""
    for user in users():
        actions = COLLECTIONS.get(user, {}).get("hubbub_audit")
        assert actions == (APPEND if user == "account" else None)


@pytest.mark.parametrize("user", users())
def test_rights_are_for_collections(user: str) -> None:
    """No role reaches other databases, drops anything, or makes users."""
    allowed = {*READ, *WRITE, "changeStream"}
    for privilege in privileges(user, "chat"):
        resource, actions = privilege["resource"], set(privilege["actions"])
        if resource["db"] == "local":
            assert (user, resource["collection"], actions) == ("stream-hub", "oplog.rs", {"find"})
            continue
        assert resource["db"] == "chat"
        assert not {"dropCollection", "dropDatabase", "anyAction", "createUser"} & actions
        if user != MIGRATE:
            assert actions <= allowed
            assert resource["collection"] or actions <= {"find", "changeStream"}


def test_the_page_names_every_collection() -> None:
    """docs/operations.md says who may do what."""
    page = (ROOT / "docs" / "operations.md").read_text()
    for user, collections in COLLECTIONS.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{user}` | `"))
        for name, actions in collections.items():
            assert f"`{name}`" in row
            if actions != READ:
                assert f"`{name}`" in row.split("|")[2]
