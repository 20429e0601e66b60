"""The part of the messaging contract about messages that carry files."""

from __future__ import annotations

from typing import Protocol

from hubbub.contracts.base import Contract


class FileActions(Contract, Protocol):
    """The gateway stores the files; what is said with them is said here."""
