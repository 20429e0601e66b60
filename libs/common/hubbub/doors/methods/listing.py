"""The two answers of the `…/get` methods."""

from __future__ import annotations

from typing import Any

from hubbub.contracts.documents import Changes, Document


def listed(changes: Changes, since: object) -> list[Document] | dict[str, Any]:
    """The two answers of the `…/get` methods: a plain list, or what changed since a date."""
    if since is None:
        return changes.update
    return {"update": changes.update, "remove": changes.remove}
