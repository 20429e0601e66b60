"""The part of the messaging contract about the settings of the workspace."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract


class SettingActions(Contract, Protocol):
    """Reading and changing settings. `user_id` is who acts."""
