"""The part of the account contract about second factors."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract


class SecondFactorActions(Contract, Protocol):
    """Enrolling, proving and giving up a second factor. `user_id` is who acts."""
