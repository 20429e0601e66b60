"""The configuration that makes a NATS server know its users."""

from __future__ import annotations

import importlib
import pkgutil
import re

import hubbub.contracts
from hubbub.bus.broker import authorization
from hubbub.bus.permissions import all_rights, app_rights
from hubbub.contracts.base import Contract

ROOM = 30.0  # seconds that a permission to answer outlasts the longest call, at least


def contracts() -> list[type[Contract]]:
    """Every contract there is, whether or not anybody serves it."""
    for module in pkgutil.walk_packages(hubbub.contracts.__path__, "hubbub.contracts."):
        importlib.import_module(module.name)
    found, new = set[type[Contract]](), [Contract]
    while new:
        kinds = [kind for one in new for kind in one.__subclasses__() if kind not in found]
        found.update(kinds)
        new = kinds
    return [one for one in found if one.__module__.startswith("hubbub.contracts.")]


def test_a_service_may_answer_for_longer_than_anybody_waits() -> None:
    """The server refuses an answer after `expires`, and the caller would wait in vain."""
    rights = {**all_rights(), "app": app_rights("polls")}
    text = authorization(dict.fromkeys(rights, "U…"), rights)
    longest = max(
        action.policy.timeout for one in contracts() for action in one.contract_actions.values()
    )

    lasting = [int(seconds) for seconds in re.findall(r'expires: "(\d+)s"', text)]
    assert len(lasting) == sum(bool(one.answers) for one in rights.values())
    assert min(lasting) >= longest + ROOM
