"""How a contract is written: a Protocol with named, documented, policy-carrying actions.

Only declarations live here. `hubbub.bus` gives them a wire.

    class Authorization(Contract, Protocol, name="authorization"):
        @action(idempotent=True, timeout=1.0)
        async def has_permission(self, user_id: UserId, permission: str) -> bool:
            '''Whether `user_id` holds `permission`.'''
            ...

A service implements the class; `bus.proxy(Authorization)` has its type. Argument and result
types are pydantic models or what pydantic can validate. Contracts only grow: fields and
arguments are added with defaults, an action's meaning never changes under its name.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict

Method = TypeVar("Method", bound=Callable[..., Awaitable[Any]])

_POLICY_ATTRIBUTE = "__hubbub_policy__"
_LISTENS_ATTRIBUTE = "__hubbub_listens__"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a caller and a callee do around one action. Settings may override each field."""

    idempotent: bool = False
    """Doing it twice has the effect of doing it once, so it may be repeated after a failure."""
    timeout: float = 5.0
    """Seconds a caller waits in all, retries included."""
    attempts: int = 5
    """Tries in all, for retryable errors of idempotent actions."""
    running: int = 256
    """Calls of this action that one instance works on at once."""
    waiting: int = 1024
    """Calls that wait for a place; further ones are refused with `Unavailable` at once."""


@dataclass(frozen=True, slots=True)
class Action:
    """One callable promise of a contract."""

    contract: str
    name: str
    function: Callable[..., Awaitable[Any]]
    policy: Policy


def action(
    *,
    idempotent: bool = False,
    timeout: float = 5.0,
    attempts: int = 5,
    running: int = 256,
    waiting: int = 1024,
) -> Callable[[Method], Method]:
    """Mark a method of a contract as callable by others and say under which policy."""
    policy = Policy(
        idempotent=idempotent, timeout=timeout, attempts=attempts, running=running, waiting=waiting
    )

    def mark(function: Method) -> Method:
        setattr(function, _POLICY_ATTRIBUTE, policy)
        return function

    return mark


class Contract(Protocol):
    """Base of every contract; a contract names itself: `class X(Contract, Protocol, name="x")`."""

    # Values here only keep type checkers from calling implementations abstract.
    contract_name: ClassVar[str] = ""
    contract_actions: ClassVar[Mapping[str, Action]] = MappingProxyType({})

    def __init_subclass__(cls, *, name: str | None = None, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if name is None:
            return
        cls.contract_name = name
        cls.contract_actions = {
            attribute: Action(name, attribute, member, getattr(member, _POLICY_ATTRIBUTE))
            for attribute, member in inspect.getmembers(cls, inspect.isfunction)
            if hasattr(member, _POLICY_ATTRIBUTE)
        }


class Event(BaseModel):
    """A fact that happened, told to whoever listens. Subclasses name it:

    class UserLoggedOut(Event, name="user.logged-out"): ...

    Delivery is at most once, unless a listener asks for `durable=True` (then at least once).
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    event_name: ClassVar[str]

    def __init_subclass__(cls, *, name: str | None = None, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if name is not None:
            cls.event_name = name


@dataclass(frozen=True, slots=True)
class Listening:
    """What `@listen` wrote down about one handler."""

    event: type[Event]
    to: Literal["one", "all"]
    durable: bool


E = TypeVar("E", bound=Event)
Handler = TypeVar("Handler", bound=Callable[..., Awaitable[None]])


def listen(
    event: type[Event], *, to: Literal["one", "all"], durable: bool = False
) -> Callable[[Handler], Handler]:
    """Mark a method as a listener of `event`.

    Args:
        to: `one` replica of this service handles each event, or `all` of them.
        durable: at least once, through JetStream; only with `to="one"`.
    """

    def mark(function: Handler) -> Handler:
        setattr(function, _LISTENS_ATTRIBUTE, Listening(event, to, durable))
        return function

    return mark


def listeners_of(owner: object) -> list[tuple[Listening, Callable[..., Awaitable[None]]]]:
    """The bound methods of `owner` that are marked with `@listen`."""
    return [
        (getattr(member, _LISTENS_ATTRIBUTE), member)
        for _, member in inspect.getmembers(owner, inspect.ismethod)
        if hasattr(member, _LISTENS_ATTRIBUTE)
    ]
