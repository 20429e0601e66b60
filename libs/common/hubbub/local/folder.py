"""The folder of a local Hubbub: data, logs, the first password, and the lock on all of it."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hubbub.local.programs import CannotStart

_PASSWORD_BYTES = 12  # 96 bits: nobody guesses it, and a person can still type it


@contextmanager
def locked(folder: Path, *, address: str) -> Iterator[None]:
    """Own `folder` while the context lasts; it is made if it is not there.

    The kernel drops the lock when its owner ends, however it ends.

    Raises:
        CannotStart: another process owns it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise CannotStart(f"the folder {folder} cannot be used: {error.strerror}") from None
    with os.fdopen(descriptor, "r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = lock.read().strip() or "another process"
            raise CannotStart(
                f"{folder} is in use by {owner}: stop that `hubbub up` first, "
                "or choose another folder with --data"
            ) from None
        lock.truncate(0)
        lock.seek(0)
        lock.write(f"process {os.getpid()} (http://{address})\n")
        lock.flush()
        yield


def admin_password(folder: Path) -> str:
    """The first administrator's password: made once, kept where only its owner can read it."""
    file = folder / "admin-password"
    try:
        kept = file.read_text().strip()
    except FileNotFoundError:
        kept = ""
    if kept:
        return kept
    made = secrets.token_urlsafe(_PASSWORD_BYTES)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(f"{made}\n")
    return made
