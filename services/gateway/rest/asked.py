"""What an endpoint asks for: one model per endpoint, filled from its query or body.

    class React(Asked):
        message_id: Required
        emoji: Word | None = None
        should_react: Flag | None = None

    @routes.post("chat.react")
    async def react(call: Call, asked: React) -> None: ...

A handler with a parameter `asked` gets its model, validated before anything happens; names on
the wire are camelCase (`messageId`), other names are given by an alias. Unknown parameters are
ignored and null counts as absent. Query strings and forms carry only text, so there `1`, `true`
and `True` are booleans and a repeated key is a list; in JSON a value must have its type. The
documentation of the API is made from these models.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema
from pydantic.alias_generators import to_camel

from services.gateway.rest.requests import (
    Parameters,
    WrongValue,
    flag_of,
    list_of,
    parse_date,
    whole_of,
)
from services.gateway.rest.validation import filled


class Asked(BaseModel):
    """Base of all models of parameters. Immutable."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        frozen=True,
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )


A = TypeVar("A", bound=Asked)


def ask(model: type[A], parameters: Parameters) -> A:
    """`model` from what was sent. Raises: InvalidParams."""
    return filled(model, parameters.values, textual=parameters.textual)


def _is_textual(info: ValidationInfo) -> bool:
    return bool(info.context and info.context.get("textual"))


def _word(value: Any, info: ValidationInfo) -> Any:
    if isinstance(value, list) and _is_textual(info):
        return value[-1] if value else None
    return value


def _date(value: Any, info: ValidationInfo) -> datetime:
    found = parse_date(_word(value, info)) if isinstance(_word(value, info), str) else None
    if found is None:
        raise WrongValue('must match format "date-time"')
    return found


Word = Annotated[str, BeforeValidator(_word)]
"""A text; an empty one is one."""

Required = Annotated[str, BeforeValidator(_word), Field(min_length=1)]
"""A text that is there and not empty."""

Flag = Annotated[bool, BeforeValidator(lambda value, info: flag_of(_word(value, info)))]
"""A boolean, however it is spelt."""

Words = Annotated[list[str], BeforeValidator(list_of)]
"""Texts; a single one is a list of one, empty ones are dropped."""

CommaWords = Annotated[list[str], BeforeValidator(lambda value: list_of(value, split=True))]
"""Texts, also in one text with commas between."""

Whole = Annotated[
    int | None,
    BeforeValidator(lambda value, info: whole_of(_word(value, info))),
    WithJsonSchema({"type": "integer", "minimum": 0}),
]
"""A whole number that is not negative; whatever else is sent counts as absent."""

Date = Annotated[
    datetime, BeforeValidator(_date), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""A moment: ISO 8601, or milliseconds since 1970."""


class RoomSelector(Asked):
    """A room by id or name."""

    room_id: Word | None = None
    room_name: Word | None = None


class DirectSelector(Asked):
    """A direct room by id, or by the other user's name."""

    room_id: Word | None = None
    username: Word | None = None


class UserSelector(Asked):
    """A user by id or name."""

    user_id: Word | None = None
    username: Word | None = None
    user: Word | None = None


class UsersSelector(UserSelector):
    """One user or several, by ids or names."""

    user_ids: Words = []
    usernames: CommaWords = []


class Paged(Asked):
    """Which part of a list: how many, from where, in which order."""

    count: Whole = None
    offset: Whole = None
    sort: Word | None = None
    """JSON: field → 1 or -1."""


class Listed(Paged):
    """`Paged`, with a choice of documents and fields."""

    query: Word | None = None
    """JSON: field → value, or one of the four operators that are known."""
    fields_: Word | None = Field(default=None, alias="fields")
    """JSON: field → 0 or 1."""
