"""Avatars."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from hubbub.contracts.documents import Identifier, Text
from hubbub.doors.table import NOTHING, Call, Nothing, method
from hubbub.ids import UserId

Picture = Annotated[Text, Field(min_length=1, max_length=1_500_000)]
"""The address of a picture, or the picture itself as a `data:` address."""


@method("getAvatarSuggestion", parallel_safe=True)
async def get_avatar_suggestion(call: Call) -> dict[str, Any]:
    """Pictures that the caller has elsewhere: none are known."""
    return {}


@method("setAvatarFromService")
async def set_avatar_from_service(
    call: Call, picture: Picture, content_type: Text | None = None, service: Text | None = None
) -> Nothing:
    """Change the caller's avatar: a picture as text, or the address of one.

    What is said of its type and origin decides nothing.
    """
    await call.services.pictures.set_user_avatar(call.user_id, picture)
    return NOTHING


@method("resetAvatar")
async def reset_avatar(call: Call, user_id: Identifier | None = None) -> Nothing:
    """Take the caller's avatar away, or with a right somebody else's."""
    chosen = None if user_id is None else UserId(user_id)
    await call.services.pictures.reset_user_avatar(call.user_id, chosen)
    return NOTHING
