"""Administration of the workspace."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.documents import Document, Paging
from hubbub.doors.methods.listing import listed
from hubbub.doors.parameters import Since
from hubbub.doors.table import Call, method

_MOST_STATUSES = 5000


@method("private-settings/get", parallel_safe=True)
async def private_settings_get(
    call: Call, updated_since: Since = None
) -> list[Document] | dict[str, Any]:
    """Settings that only administrators see; none for anybody else."""
    changes = await call.services.messaging.private_settings(call.user_id, updated_since)
    return listed(changes, updated_since)


@method("listCustomUserStatus", parallel_safe=True, anonymous=True)
async def list_custom_user_status(call: Call) -> list[Document]:
    """Statuses that the workspace offers, by name."""
    page = await call.services.presence.custom_statuses(Paging(count=_MOST_STATUSES))
    return page.items


@method("listEmojiCustom", parallel_safe=True, anonymous=True)
async def list_emoji_custom(call: Call) -> list[Document]:
    """Custom emoji, by name."""
    return (await call.services.pictures.custom_emoji()).update
