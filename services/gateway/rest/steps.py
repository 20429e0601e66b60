"""Long pages in short steps: one answer on the bus has a largest size, a page has none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from hubbub.contracts.documents import Document, Page, Paging
from hubbub.errors import TooLarge

STEP: Final = 200  # items asked for at once; fewer when they are large


async def in_steps(fetch: Callable[[Paging], Awaitable[Page]], paging: Paging) -> Page:
    """The wanted page, fetched in as many steps as needed.

    Items that are added or removed meanwhile may shift the rest, as between two pages.

    Raises: TooLarge: a single item does not fit.
    """
    items: list[Document] = []
    total, step = 0, STEP
    while len(items) < paging.count:
        size = min(step, paging.count - len(items))
        asked = paging.model_copy(update={"offset": paging.offset + len(items), "count": size})
        try:
            part = await fetch(asked)
        except TooLarge:
            if size == 1:
                raise
            step = size // 2
            continue
        items += part.items
        total = part.total
        if not part.items or asked.offset + len(part.items) >= total:
            break
    return Page(items=items, total=total)
