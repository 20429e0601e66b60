"""Arguments and results of one action as JSON, checked by pydantic against the contract.

A request is one object of named arguments, a reply `{"ok": …}` or `{"error": …}`. Datetimes are
ISO 8601 with their offset, bytes base64 (models that hold bytes say so in their own
`ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")`).

Arguments are checked strictly and unknown ones refused, because a caller who passes something
expects it to matter. Fields inside models follow the model's configuration, results are read
tolerantly: that is where contracts grow.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, NewType, NotRequired, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from pydantic_core import CoreConfig, PydanticSerializationError, SchemaSerializer, core_schema
from typing_extensions import TypedDict

from hubbub.bus.faults import OK_PREFIX, decode_error
from hubbub.contracts.base import Action
from hubbub.errors import Internal, Invalid

_BYTES = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
_VALUE = re.compile(r", input_value=.*(?=, input_type=)", re.DOTALL)
_WRITTEN = CoreConfig(ser_json_bytes="base64")


class Plain:
    """A result that travels inside one process without becoming bytes."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


class BrokenPromise(Exception):
    """A method returned something that its contract does not promise."""


class ActionCodec:
    """Coding and checking of one action, prepared once."""

    def __init__(self, action: Action) -> None:
        """Raises: TypeError: the action's signature cannot travel."""
        self.label = f"{action.contract}.{action.name}"
        self.signature = inspect.signature(action.function)
        hints = get_type_hints(action.function, include_extras=True)
        fields: dict[str, Any] = {}
        for name, parameter in list(self.signature.parameters.items())[1:]:
            if parameter.kind not in (
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                inspect.Parameter.KEYWORD_ONLY,
            ):
                raise TypeError(f"{self.label}: {name} must be an ordinary named argument")
            if name not in hints:
                raise TypeError(f"{self.label}: {name} has no type")
            optional = parameter.default is not inspect.Parameter.empty
            fields[name] = NotRequired[hints[name]] if optional else hints[name]
        if "return" not in hints:
            raise TypeError(f"{self.label} does not say what it returns")
        self.names = tuple(fields)
        self._positional = tuple(
            name
            for name, parameter in list(self.signature.parameters.items())[1:]
            if parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        )
        # A caller of the next version may know an argument that this one does not: contracts only
        # grow, and what is new in them has a default.
        arguments = with_config(ConfigDict(extra="ignore", **_BYTES))(
            TypedDict("Arguments", fields)  # type: ignore[operator]  # made at run time
        )
        promised = {"ok": hints["return"]}
        reply = with_config(_BYTES)(TypedDict("Reply", promised))  # type: ignore[operator]  # too
        self.arguments: TypeAdapter[dict[str, Any]] = TypeAdapter(arguments)
        self.reply: TypeAdapter[dict[str, Any]] = TypeAdapter(reply)
        # A TypedDict's own configuration reaches its validator but not its serializer.
        self._write_arguments = SchemaSerializer(self.arguments.core_schema, _WRITTEN).to_json
        self._read_arguments = self.arguments.validator.validate_json
        self._write_reply = SchemaSerializer(self.reply.core_schema, _WRITTEN).to_json
        self._read_reply = self.reply.validator.validate_json
        self._may_be_none = _accepts_none(self.reply)
        # What needs no check beyond its class; checking costs a microsecond.
        self._scalar = _scalar(hints["return"])
        self._write_scalar = SchemaSerializer(core_schema.any_schema()).to_json

    def bind(self, positional: tuple[object, ...], named: dict[str, Any]) -> dict[str, Any]:
        """Names for positional arguments. Raises: Invalid: too many, or one given twice."""
        if len(positional) > len(self._positional):
            raise Invalid(
                f"{self.label} takes {len(self._positional)} positional arguments, "
                f"{len(positional)} given"
            )
        for name, value in zip(self._positional, positional, strict=False):
            if name in named:
                raise self._invalid(name, "given twice")
            named[name] = value
        return named

    def encode_arguments(self, arguments: dict[str, Any]) -> bytes:
        """The body of a request.

        Types are the callee's to judge. Raises: Invalid: an argument that no JSON can carry, or
        a name that the contract does not know.
        """
        self._check_names(arguments)
        try:
            return self._write_arguments(arguments, warnings=False)
        except (PydanticSerializationError, UnicodeEncodeError) as error:
            raise Invalid(f"{self.label}: {error}") from error

    def decode_arguments(self, body: bytes | Mapping[str, Any]) -> dict[str, Any]:
        """What to call the method with: bytes, or a mapping from a caller in the same process,
        whose contract is this one. Raises: Invalid: with the list of wrong fields."""
        try:
            if isinstance(body, bytes):
                decoded: dict[str, Any] = self._read_arguments(body, strict=True)
                return decoded
            self._check_names(body)
            return self.arguments.validate_python(body, strict=True)
        except ValidationError as error:
            raise self._refused(error) from None

    def _check_names(self, arguments: Mapping[str, Any]) -> None:
        for name in arguments:
            if name not in self.names:
                raise self._invalid(name, "unknown argument")

    def encode_result(self, value: object) -> bytes:
        """A reply. Raises: BrokenPromise: `value` is not what the contract promises."""
        if value is None and not self._may_be_none:  # which the serializer would let pass
            raise BrokenPromise(f"{self.label} returned None")
        try:
            if type(value) is self._scalar:
                return b'{"ok":%b}' % self._write_scalar(value)
            return self._write_reply({"ok": value}, warnings="error")
        except (PydanticSerializationError, UnicodeEncodeError) as error:
            raise BrokenPromise(f"{self.label}: {_without_values(error)}") from None

    def check_result(self, value: object) -> Plain:
        """`encode_result` for a result that stays in the process."""
        try:
            return Plain(self.reply.validate_python({"ok": value}, strict=True)["ok"])
        except ValidationError as error:
            fields = ", ".join(f"{p['path']}: {p['problem']}" for p in _problems(error))
            raise BrokenPromise(f"{self.label}: {fields}") from None

    def decode_reply(self, body: bytes | Plain) -> Any:
        """The value in a reply, or raise the error in it.

        Raises: Internal: the answer does not fit the contract as we know it.
        """
        if isinstance(body, Plain):
            return body.value
        if not body.startswith(OK_PREFIX):
            raise decode_error(body)
        try:
            return self._read_reply(body)["ok"]
        except ValidationError as error:
            fields = ", ".join(problem["path"] for problem in _problems(error))
            raise Internal(
                f"{self.label}: the answer does not fit the contract ({fields})"
            ) from None

    def _refused(self, error: ValidationError) -> Invalid:
        problems = _problems(error)
        first = problems[0]
        where = f"{first['path']}: " if first["path"] else ""
        return Invalid(f"{self.label}: {where}{first['problem']}", details={"fields": problems})

    def _invalid(self, name: str, problem: str) -> Invalid:
        fields = [{"path": name, "problem": problem}]
        return Invalid(f"{self.label}: {name}: {problem}", details={"fields": fields})


def _scalar(promised: Any) -> type | None:
    """The class of whose instances each is a promised value as it is, if there is one."""
    while isinstance(promised, NewType):
        promised = promised.__supertype__
    return promised if promised in (bool, int, str) else None


def _accepts_none(reply: TypeAdapter[dict[str, Any]]) -> bool:
    try:
        reply.validate_python({"ok": None})
    except ValidationError:
        return False
    return True


def _without_values(error: Exception) -> str:
    """The text of a serialization error; the value in it may be somebody's message."""
    return _VALUE.sub("", str(error))


def _problems(error: ValidationError) -> list[dict[str, str]]:
    """Where and what is wrong, without the offending values: they may be secrets."""
    return [
        {"path": ".".join(map(str, problem["loc"])), "problem": problem["msg"]}
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
