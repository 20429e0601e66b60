"""`settings`: what administrators see and change of the workspace."""

from __future__ import annotations

from typing import Any, Final

from pydantic import Field

from hubbub.contracts.settings import SettingNotFound, WrongSettingValue
from services.gateway.rest.answers import InvalidParams, Unsuccessful
from services.gateway.rest.asked import Asked, CommaWords, Listed, Word
from services.gateway.rest.call import Call
from services.gateway.rest.families.configuration import wanted_ids
from services.gateway.rest.paging import paged, parse_fields, parse_paging
from services.gateway.rest.router import Routes
from services.gateway.rest.steps import in_steps

routes = Routes()

_SHOWN: Final = (
    "_id value type public group values editor packageValue enterprise valueSource _updatedAt"
).split()


class SettingsWanted(Listed):
    """Which settings."""

    id_: CommaWords = Field(default=[], alias="_id")
    """All of them when absent."""


@routes.get("settings")
async def list_settings(call: Call, asked: SettingsWanted) -> dict[str, Any]:
    """Settings that the caller may see, by id."""
    fields = parse_fields(asked)
    ids = wanted_ids(asked, asked.id_)
    paging = parse_paging(asked, await call.paging_rules(), sortable={"_id"})
    page = await in_steps(
        lambda part: call.services.messaging.list_settings(call.user_id, part, ids), paging
    )
    answer = paged("settings", page, paging)
    answer["settings"] = [
        fields.of({name: item[name] for name in _SHOWN if name in item}) for item in page.items
    ]
    return answer


@routes.get("settings/*")
async def setting(call: Call) -> dict[str, Any]:
    """One setting."""
    try:
        found = await call.services.messaging.get_setting(call.user_id, call.rest)
    except SettingNotFound:
        raise Unsuccessful from None
    return {"_id": found["_id"], "value": found.get("value")}


class NewValue(Asked):
    """The value that a setting is to have."""

    value: Any
    """Of the setting's type: boolean, whole number, text, one of its choices."""
    editor: Word | None = None
    """Of a colour: `color` or `expression`."""


@routes.post("settings/*", second_factor=True)
async def change(call: Call, asked: NewValue) -> None:
    """Change one setting."""
    try:
        await call.services.messaging.set_setting(
            call.user_id, call.rest, asked.value, asked.editor
        )
    except SettingNotFound:
        raise Unsuccessful from None
    except WrongSettingValue as wrong:
        raise InvalidParams(str(wrong.details.get("problem", "must be valid"))) from None
