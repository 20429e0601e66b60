"""What somebody's leaving the workspace means for rooms and messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from hubbub.contracts.members import Departure, LastOwnerLeaves


class Erasure(StrEnum):
    """What becomes of the messages of a deleted account: the setting `Message_ErasureType`."""

    DELETE = "Delete"
    UNLINK = "Unlink"
    KEEP = "Keep"


def erasure_of(setting: Any) -> Erasure:
    """What the setting says; a value that is none counts as the default."""
    try:
        return Erasure(setting)
    except ValueError:
        return Erasure.DELETE


def departure(held: Sequence[Mapping[str, Any]]) -> Departure:
    """`held` (`{"rid", "name", "alone"}` each) by the rooms' names."""
    named = [(str(room.get("name") or room["rid"]), bool(room["alone"])) for room in held]
    return Departure(
        should_change_owner=[name for name, alone in named if not alone],
        should_be_removed=[name for name, alone in named if alone],
    )


def refusal(found: Departure) -> LastOwnerLeaves:
    """Why an account cannot go without a confirmation."""
    return LastOwnerLeaves(
        details={
            "shouldChangeOwner": found.should_change_owner,
            "shouldBeRemoved": found.should_be_removed,
        }
    )
