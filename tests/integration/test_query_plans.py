"""No query of a store reads a whole collection that grows, and none escaped the tests.

Runs behind all other integration tests, whose queries are explained one by one (see `plans.py`).
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import services
from hubbub.mongo import Database
from tests.integration.plans import RECORDER, SERVICES

pytestmark = pytest.mark.integration

NOT_REACHED: dict[str, str] = {}
"""Methods that no integration test reaches, and why that is right."""


def modules() -> Iterator[ModuleType]:
    """All modules of stores."""
    for found in pkgutil.walk_packages(services.__path__, "services."):
        _, _, *rooms = found.name.split(".")
        if rooms and rooms[0] == "store":
            yield importlib.import_module(found.name)


def methods() -> Iterator[str]:
    """Public methods and functions of stores that wait, so that talk to the database."""
    for module in modules():
        for name, thing in vars(module).items():
            if getattr(thing, "__module__", "") != module.__name__ or name.startswith("_"):
                continue
            if inspect.isclass(thing) and not getattr(thing, "_is_protocol", False):
                yield from (
                    f"{module.__name__}:{method.__qualname__}"
                    for attribute, method in vars(thing).items()
                    if _waits(method) and not attribute.startswith("_")
                )
            elif _waits(thing):
                yield f"{module.__name__}:{thing.__qualname__}"


def _waits(thing: object) -> bool:
    return inspect.iscoroutinefunction(thing) or inspect.isasyncgenfunction(thing)


def test_every_method_of_a_store_was_reached(request: pytest.FixtureRequest) -> None:
    """By some integration test, so that its queries were explained."""
    ran = {Path(item.path).parent.name for item in request.session.items}
    with_store = {path.parent.name for path in SERVICES.glob("*/store*")}
    if missing := with_store - ran:
        pytest.skip(f"needs all integration tests in one run; these were left out: {missing}")
    all_methods = set(methods())

    assert "IXSCAN" in RECORDER.stages
    assert not {*NOT_REACHED} - all_methods
    missing_ones = sorted(all_methods - RECORDER.reached - {*NOT_REACHED})
    assert missing_ones == [], "no test reaches\n" + "\n".join(missing_ones)


async def test_a_query_without_an_index_is_noticed(database: Database) -> None:
    """Made from a module that passes for a store, on a collection that grows."""
    await database["growing"].insert_many([{"a": number} for number in range(100)])
    await database["growing"].create_index("b")
    store: dict[str, object] = {"__name__": "services.made_up.store"}
    code = (
        "async def by_a(database): return await database['growing'].find_one({'a': 1})\n"
        "async def by_b(database): return await database['growing'].find_one({'b': 1})\n"
    )
    exec(code, store)

    await store["by_a"](database)  # type: ignore[operator]
    await store["by_b"](database)  # type: ignore[operator]
    problems = await RECORDER.explain(database)

    assert len(problems) == 1
    assert problems[0].startswith("services.made_up.store:by_a reads all of growing")


def test_the_methods_are_found() -> None:
    """Of every service that has a store, and neither private nor promised ones."""
    found = set(methods())

    assert len(found) > 200
    assert "services.messaging.store.messages:Messages.page" in found
    assert "services.account.store.logins:LoginStore.find_by_token" not in found
    assert "services.account.store.logins:MongoLoginStore.find_by_token" in found
    assert {name.split(".")[1] for name in found} == {
        path.parent.name for path in SERVICES.glob("*/store*")
    }
