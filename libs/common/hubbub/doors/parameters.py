"""Types of parameters as clients really send them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

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


class Blocked(Parameter):
    """The other side of a direct room."""

    room_id: Identifier = Field(alias="rid")
    user_id: Identifier = Field(alias="blocked")


class Ignored(Parameter):
    """A member whose messages somebody does not want to see."""

    room_id: Identifier = Field(alias="rid")
    user_id: Identifier = Field(alias="userId")
    ignore: bool = True


class Window(Parameter):
    limit: int | None = None
    skip: int | None = None


class SpotlightKinds(Parameter):
    users: bool = True
    rooms: bool = True
    mentions: bool = False
    """The text is being typed as a mention: people of the room come first."""


class ClearedStretch(Parameter):
    """Which messages are to be removed."""

    room_id: Identifier = Field(alias="roomId")
    latest: EjsonDate
    oldest: EjsonDate
    inclusive: bool = True
    limit: int | None = Field(default=None, ge=0)
    exclude_pinned: bool = Field(default=False, alias="excludePinned")
    ignore_discussions: bool = Field(default=True, alias="ignoreDiscussion")
    files_only: bool = Field(default=False, alias="filesOnly")
    usernames: list[Username] = Field(default=[], alias="fromUsers", max_length=1000)
    ignore_threads: bool = Field(default=False, alias="ignoreThreads")


class Browsed(Parameter):
    """What a directory is asked for."""

    text: Text = ""
    type: Literal["channels", "users", "teams"] = "channels"
    sort_by: Text = Field(default="name", alias="sortBy")
    sort_direction: Literal["asc", "desc"] = Field(default="asc", alias="sortDirection")
    page: int | None = Field(default=None, ge=0)
    offset: int | None = Field(default=None, ge=0)
    limit: int = Field(default=10, ge=0)


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
    secret: Text | None = Field(default=None, alias="secretURL", repr=False)
    reason: Text | None = None
