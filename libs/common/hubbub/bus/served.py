"""What a service object promises: its contracts and their actions."""

from __future__ import annotations

import inspect
from typing import Any

from hubbub.contracts.base import Action, Contract


def contracts_of(service: object) -> list[type[Contract]]:
    """The contracts that the class of `service` implements, by subclassing them.

    Raises: TypeError: there is none, or an action is missing.
    """
    found: list[type[Contract]] = [
        kind
        for kind in type(service).__mro__
        if Contract in kind.__mro__ and kind.__dict__.get("contract_name")
    ]
    if not found:
        raise TypeError(f"{type(service).__name__} implements no contract")
    for contract in found:
        for name, action in contract.contract_actions.items():
            method = getattr(type(service), name, None)
            if method is None or inspect.unwrap(method) is action.function:
                raise TypeError(
                    f"{type(service).__name__} does not implement {contract.contract_name}.{name}"
                )
    return found


def actions_of(contract: type[Any]) -> dict[str, Action]:
    """The actions of a contract. Raises: TypeError: it is no named contract."""
    name = getattr(contract, "contract_name", "")
    if not name or not contract.contract_actions:
        raise TypeError(
            f"{contract.__name__} is no contract with actions: class X(Contract, Protocol, name=…)"
        )
    return dict(contract.contract_actions)


def summary_of(text: str | None) -> str:
    """The first line of a docstring."""
    return inspect.cleandoc(text).partition("\n")[0] if text else ""
