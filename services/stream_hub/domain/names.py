"""Names in messages as they are now: of the author and of those who are mentioned.

A message keeps the names of the moment in which it was written. A workspace that shows names
instead of usernames wants the present ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from services.stream_hub.domain.change import Change, identifier
from services.stream_hub.domain.event import Known

REAL_NAMES_SETTING = "UI_Use_Real_Name"


def people_of(change: Change) -> Iterator[str]:
    """Ids of the users whose names a message shows."""
    document = change.document or {}
    for person in (document.get("u"), *_mentions(document)):
        user_id = identifier(person.get("_id")) if isinstance(person, Mapping) else None
        if user_id is not None:
            yield user_id


def renamed(document: Mapping[str, Any], known: Known) -> Mapping[str, Any]:
    """The message with present names; of those nobody knows any more, with the old ones."""
    if not known.real_names:
        return document
    changed = dict(document)
    if "u" in document:
        changed["u"] = _renamed(document["u"], known)
    if mentions := _mentions(document):
        changed["mentions"] = [_renamed(one, known) for one in mentions]
    return changed


def _renamed(person: object, known: Known) -> object:
    user_id = identifier(person.get("_id")) if isinstance(person, Mapping) else None
    if user_id is None or not isinstance(person, Mapping):
        return person
    name = known.name(user_id)
    return person if name is None else {**person, "name": name}


def _mentions(document: Mapping[str, Any]) -> list[Any]:
    mentions = document.get("mentions")
    return mentions if isinstance(mentions, list) else []
