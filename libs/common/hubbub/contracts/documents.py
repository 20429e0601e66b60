"""Types shared by several contracts."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from hubbub.ddp import ejson


def _decode(value: Any) -> Any:
    return ejson.decode(value)


def _encode(value: Any) -> Any:
    return ejson.encode(value)


Document = Annotated[
    dict[str, Any],
    BeforeValidator(_decode),
    PlainSerializer(_encode, when_used="json"),
]
"""A stored document with Rocket.Chat's own field names, as clients see it.

In Python its dates are `datetime`; on the wire it is EJSON, so that dates survive JSON.
"""

JsonValue = Annotated[Any, BeforeValidator(_decode), PlainSerializer(_encode, when_used="json")]
"""Any EJSON value, coded like `Document`."""


def _plain_text(value: str) -> str:
    if "\x00" in value:
        raise ValueError("must not contain NUL")
    return value


Identifier = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_plain_text)]
"""An id that a stranger sent: a non-empty string without NUL. Never a pattern or an object."""

Text = Annotated[str, AfterValidator(_plain_text)]
"""A text that a stranger sent: NUL is refused everywhere, MongoDB keys and drivers trip on it."""


class Frozen(BaseModel):
    """Base of the models that cross the bus: immutable, tolerant of fields a newer peer adds."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Page(Frozen):
    """One page of a longer list."""

    items: list[Document]
    total: int
    """How many there are without paging."""


class Paging(Frozen):
    """Which part of a list is wanted. `sort` keys are checked against a list by the callee."""

    offset: int = Field(default=0, ge=0)
    count: int = Field(default=50, ge=0, le=5000)
    sort: dict[str, int] | None = None


class Changes(Frozen):
    """What changed since a date: documents to store and ids to forget."""

    update: list[Document]
    remove: list[Document]
    """`{"_id", "_deletedAt"}` each."""
