"""Where the `hubbub up` of a folder can be reached, for commands in another terminal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

_NAME = "running.json"


class Addresses(BaseModel):
    """What a running `hubbub up` can be reached under."""

    pid: int
    url: str
    nats_url: str
    nats_keys: str = ""
    """The folder of keys for NATS; empty when nobody made one."""
    mongo_url: str


@contextmanager
def written(folder: Path, addresses: Addresses) -> Iterator[None]:
    """Keep the addresses in `folder` while the context lasts.

    Only the owner may read them: addresses of servers can carry passwords.
    """
    file = folder / _NAME
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(addresses.model_dump_json())
    try:
        yield
    finally:
        file.unlink(missing_ok=True)


def read(folder: Path) -> Addresses | None:
    """The addresses of the Hubbub that runs on `folder`; None when there is none."""
    try:
        found = Addresses.model_validate_json((folder / _NAME).read_bytes())
    except (OSError, ValidationError):
        return None
    return found if _lives(found.pid) else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
