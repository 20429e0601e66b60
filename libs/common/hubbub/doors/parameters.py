"""Types of parameters as clients really send them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hubbub.contracts.documents import Identifier, Text
from hubbub.ddp import ejson


def _date(value: Any) -> Any:
    try:
        return ejson.decode(value)
    except ejson.EjsonError as error:
        raise ValueError(str(error)) from error


def _date_or_nothing(value: Any) -> Any:
    decoded = _date(value)
    return decoded if isinstance(decoded, datetime) else None


EjsonDate = Annotated[datetime, BeforeValidator(_date)]
"""A date as `{"$date": milliseconds}`."""

Since = Annotated[datetime | None, BeforeValidator(_date_or_nothing)]
"""A date; anything else means "from the beginning". The official load tester passes `{}`."""

Username = Annotated[Text, Field(min_length=1, max_length=128)]
Limit = Annotated[int, Field(ge=0)]


class Parameter(BaseModel):
    """Base of object parameters: strict types, unknown keys ignored."""

    model_config = ConfigDict(strict=True, extra="ignore", populate_by_name=True, frozen=True)


class MessageReference(Parameter):
    """A message by id; the room that the client names does not decide anything."""

    id: Identifier = Field(alias="_id")


class ThreadReference(Parameter):
    thread_id: Identifier = Field(alias="tmid")
    limit: int = Field(default=50, ge=1)
    skip: int = Field(default=0, ge=0)


class RoomUsers(Parameter):
    room_id: Identifier = Field(alias="rid")
    users: list[Username] = Field(min_length=1, max_length=1000)


class RoomUser(Parameter):
    room_id: Identifier = Field(alias="rid")
    username: Username


class Window(Parameter):
    limit: int | None = None
    skip: int | None = None


class SpotlightKinds(Parameter):
    users: bool = True
    rooms: bool = True


class RoomExtra(Parameter):
    """`extraData` of the calls that create rooms."""

    topic: Text | None = None
    description: Text | None = None
    announcement: Text | None = None
    broadcast: bool = False


class NewAccount(Parameter):
    email: Text
    name: Text = ""
    username: Text | None = None
    password: Text | None = Field(default=None, alias="pass", repr=False)
    password_by_name: Text | None = Field(default=None, alias="password", repr=False)
    reason: Text | None = None
