"""The part of the account contract about avatars."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract


class AvatarActions(Contract, Protocol):
    """The gateway stores the images; the account knows that there is one."""
