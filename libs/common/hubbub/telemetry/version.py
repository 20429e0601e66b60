"""Which Hubbub this is."""

from __future__ import annotations

import os
from functools import cache
from importlib import metadata


@cache
def version() -> str:
    """The version of the installed distribution."""
    try:
        return metadata.version("hubbub")
    except metadata.PackageNotFoundError:  # run from a bare source tree
        return "0.0.0"


@cache
def revision() -> str:
    """The commit this was built from, as the image says in `HUBBUB_REVISION`."""
    return os.environ.get("HUBBUB_REVISION", "") or "unknown"
