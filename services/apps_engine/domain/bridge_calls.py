"""What an app may ask of the engine: which permission it takes, and what it has to say.

Everything comes from somebody else's code, so everything is checked here first: types, sizes,
unknown words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from hubbub.contracts.documents import Identifier, Text
from hubbub.errors import HubbubError, Invalid

LONGEST_VALUE: Final = 64 * 1024
"""Bytes of the JSON of a stored value, or of the data of a job."""

_CODE = re.compile(r"[a-z][a-z0-9-]{0,63}")
_LONGEST_REASON: Final = 500  # characters

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
Key = Annotated[Text, Field(min_length=1, max_length=256)]


class _Args(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class SendMessage(_Args):
    room: Identifier | None = None
    """An id, or `#name`."""
    user: Identifier | None = None
    """A username: it goes to the direct room with them."""
    text: Text = ""
    attachments: list[dict[str, Any]] | None = Field(default=None, max_length=20)
    thread: Identifier | None = None
    alias: Text | None = None
    emoji: Text | None = None
    id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9-]{1,64}$")

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if (self.room is None) == (self.user is None):
            raise ValueError("either a room or a user")
        return self


class UpdateMessage(_Args):
    message: Identifier
    text: Text | None = None
    attachments: list[dict[str, Any]] | None = Field(default=None, max_length=20)


class ReadMessages(_Args):
    room: Identifier
    count: int = Field(default=50, ge=1, le=100)
    before: dict[str, int] | None = None
    """A date, `{"$date": ms}`."""


class CreateRoom(_Args):
    name: Text = ""
    kind: Literal["channel", "group", "direct"] = "channel"
    members: list[Text] = Field(default=[], max_length=1000)


class OfRoom(_Args):
    room: Identifier


class OfUser(_Args):
    user: Identifier | None = None
    username: Identifier | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if (self.user is None) == (self.username is None):
            raise ValueError("either an id or a username")
        return self


class NotifyUser(_Args):
    user: Identifier
    room: Identifier
    text: Text = Field(min_length=1, max_length=5000)


class OfKey(_Args):
    key: Key


class StoreSet(_Args):
    key: Key
    value: JsonValue


class StoreList(_Args):
    prefix: Text = Field(default="", max_length=256)


class Schedule(_Args):
    name: Name
    at: dict[str, int] | None = None
    """A date, `{"$date": ms}`."""
    cron: str | None = Field(default=None, max_length=100)
    data: JsonValue = None
    id: Name | None = None

    @model_validator(mode="after")
    def _once_or_often(self) -> Self:
        if (self.at is None) == (self.cron is None):
            raise ValueError("either a date or a cron expression")
        return self


class Unschedule(_Args):
    id: Name


class Nothing(_Args):
    pass


class Fetch(_Args):
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "GET"
    url: Text = Field(max_length=4096)
    headers: dict[str, str] = Field(default={}, max_length=50)
    body: str = Field(default="", max_length=700_000)
    """base64."""


class LogText(_Args):
    level: Literal["debug", "info", "warning", "error"] = "info"
    text: str = ""


CALLS: Final[Mapping[str, tuple[str, type[_Args]]]] = {
    "send_message": ("message.send", SendMessage),
    "update_message": ("message.update", UpdateMessage),
    "read_messages": ("message.read", ReadMessages),
    "create_room": ("room.create", CreateRoom),
    "room": ("room.read", OfRoom),
    "user": ("user.read", OfUser),
    "notify_user": ("notify", NotifyUser),
    "store_get": ("store", OfKey),
    "store_set": ("store", StoreSet),
    "store_delete": ("store", OfKey),
    "store_list": ("store", StoreList),
    "schedule": ("schedule", Schedule),
    "unschedule": ("schedule", Unschedule),
    "jobs": ("schedule", Nothing),
    "fetch": ("network", Fetch),
}
"""Call → the permission it takes, and what is said with it."""


def checked(model: type[_Args], args: Mapping[str, Any]) -> Any:
    """What was said, as `model`. Raises: Invalid: naming the wrong fields, not their values."""
    try:
        return model.model_validate(args)
    except (ValidationError, RecursionError) as error:
        if isinstance(error, RecursionError):
            raise Invalid("nested too deeply") from None
        faults = [
            {"path": ".".join(map(str, fault["loc"])), "problem": fault["msg"]}
            for fault in error.errors(include_url=False, include_input=False)
        ][:10]
        said = "; ".join(
            f"{fault['path']}: {fault['problem']}".removeprefix(": ") for fault in faults
        )
        raise Invalid(said[:_LONGEST_REASON], details={"fields": faults}) from None


def refusal(error: HubbubError) -> tuple[str, str]:
    """How an app is told of an error: a code for programs and a reason for people."""
    code = str(error.code).lower().replace("_", "-")
    if not _CODE.fullmatch(code):
        code = f"error-{error.status}"
    reason = error.reason or str(error.code)
    return code, reason[:_LONGEST_REASON]
