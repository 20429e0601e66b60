"""How a client's method becomes a row of the table: name, parameters, handler.

    @method("leaveRoom")
    async def leave_room(call: Call, room_id: Identifier) -> Nothing: ...

Parameters are positional, as DDP sends them. Each is validated strictly against its annotation
before the handler runs; surplus ones are ignored (some clients append their own to every call),
and null stands for "absent" wherever there is a default.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from hubbub.bus import call_context
from hubbub.contracts.account import Account
from hubbub.contracts.apps import Apps
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.documents import Document
from hubbub.contracts.messages import NewMessage
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.pictures import Pictures
from hubbub.contracts.presence import Presence
from hubbub.contracts.push import Push
from hubbub.errors import BadRequest, Unauthenticated
from hubbub.ids import UserId


class Nothing(Enum):
    """The result of a method that returns none: the answer has no `result` key at all."""

    NOTHING = "nothing"


NOTHING = Nothing.NOTHING


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as the door knows it."""

    user_id: UserId | None
    address: str = ""
    hashed_token: str | None = None
    code: str | None = field(default=None, repr=False)
    """A second factor that was sent along."""
    code_method: str | None = None
    """What kind of factor it is."""


@dataclass(frozen=True, slots=True)
class Services:
    """Proxies of what stands behind the doors."""

    account: Account
    authorization: Authorization
    messaging: Messaging
    pictures: Pictures
    presence: Presence
    push: Push
    apps: Apps


Send = Callable[[UserId, NewMessage], Awaitable[Document]]
"""As `Messaging.send_message`."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a method, as its handler sees it."""

    services: Services
    caller: Caller
    carrier: Send | None = None
    """How messages are sent; None: by messaging's own action."""

    @property
    def send(self) -> Send:
        """Sends a message."""
        return self.carrier or self.services.messaging.send_message

    @property
    def user_id(self) -> UserId:
        """The signed-in caller. Methods that anonymous callers may use ask `caller` instead."""
        if self.caller.user_id is None:
            raise Unauthenticated("Invalid user")
        return self.caller.user_id

    @property
    def hashed_token(self) -> str:
        """The token that the caller signed in with. Raises: Unauthenticated."""
        if self.caller.hashed_token is None:
            raise Unauthenticated("Invalid user")
        return self.caller.hashed_token


@dataclass(frozen=True, slots=True)
class _Parameter:
    adapter: TypeAdapter[Any]
    default: Any  # inspect.Parameter.empty: required


@dataclass(frozen=True, slots=True)
class Method:
    """One row: what a client may call by `name`."""

    name: str
    parallel_safe: bool
    """A pure read: may run beside other methods of the same socket."""
    anonymous: bool
    sensitive: bool
    """Asks users who have a second factor for it; who called from where is kept in records."""
    summary: str
    _handler: Callable[..., Awaitable[Any]]
    _parameters: tuple[_Parameter, ...]
    _collects_rest: bool

    async def call(
        self, services: Services, caller: Caller, params: list[Any], carrier: Send | None = None
    ) -> Any:
        """Validate `params`, run the method and return its result, or `NOTHING`.

        Args:
            carrier: how messages are sent; None: by messaging's own action.

        Raises:
            Unauthenticated: nobody is signed in and the method needs somebody.
            BadRequest: `Match failed` (400), a parameter is missing or of the wrong type.
            NotAllowed: `totp-required`, `totp-invalid`: the method is sensitive.
            HubbubError: whatever the contract behind it raises.
        """
        if caller.user_id is None and not self.anonymous:
            raise Unauthenticated("Invalid user", details={"method": self.name})
        call, arguments = Call(services, caller, carrier), self._arguments(params)
        if not self.sensitive:
            return await self._handler(call, *arguments)
        with call_context(origin=caller.address or None):
            await services.account.prove_second_factor(
                call.user_id, call.hashed_token, caller.code, caller.code_method
            )
            return await self._handler(call, *arguments)

    def _arguments(self, params: list[Any]) -> list[Any]:
        if self._collects_rest:
            adapter = self._parameters[0].adapter
            return [_checked(adapter, value) for value in params if value not in ("", None)]
        arguments = []
        for index, parameter in enumerate(self._parameters):
            value = params[index] if index < len(params) else None
            if value is None and parameter.default is not inspect.Parameter.empty:
                arguments.append(parameter.default)
            else:
                arguments.append(_checked(parameter.adapter, value))
        return arguments


def _checked(adapter: TypeAdapter[Any], value: Any) -> Any:
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        # The validator's words would repeat the caller's data; the code is what clients know.
        raise BadRequest("Match failed", code=400) from error


METHODS: dict[str, Method] = {}
"""Every method that a client may call by name, whichever door it comes through."""


def method(
    name: str, *, parallel_safe: bool = False, anonymous: bool = False, sensitive: bool = False
) -> Callable[[Callable[..., Awaitable[Any]]], Callable[..., Awaitable[Any]]]:
    """Enter the decorated handler into `METHODS`."""

    def enter(handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        hints = get_type_hints(handler, include_extras=True)
        declared = list(inspect.signature(handler).parameters.values())[1:]
        METHODS[name] = Method(
            name=name,
            parallel_safe=parallel_safe,
            anonymous=anonymous,
            sensitive=sensitive,
            summary=(inspect.getdoc(handler) or "").partition("\n")[0],
            _handler=handler,
            _parameters=tuple(_Parameter(_adapter(hints[p.name]), p.default) for p in declared),
            _collects_rest=any(p.kind is p.VAR_POSITIONAL for p in declared),
        )
        return handler

    return enter


def _adapter(annotation: Any) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(annotation, config=ConfigDict(strict=True))
    except PydanticUserError:
        return TypeAdapter(annotation)  # a model brings its own, strict configuration
