"""What the engine tells the launcher, as the one argument of its command line."""

from __future__ import annotations

import dataclasses
import json
import signal
from dataclasses import dataclass

MEBIBYTE = 1024 * 1024

KILL_THE_APP = signal.SIGUSR1
"""What the launcher, where it waits outside the app's process namespace, takes as the order to
kill the app, and to leave no remainder of it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to confine one app process, and what to become."""

    app: str
    """The app's id."""
    folder: str
    """The app's unpacked package; readable."""
    scratch: str
    """A folder that exists; the only one that is writable, and empty at every start."""
    package: str = ""
    """The Python package of the app, below `folder`."""
    engine: int = 0
    """Process id of the engine, without which nothing of this may live; set at the start."""
    channel: int = 0
    """File descriptor of the socket to the engine; everything else above 2 is closed. Set at the
    start."""
    host: str = "hubbub.apps.host"
    """The module that becomes the app: its `main(channel, folder, package)` is called."""
    user: int | None = None
    """The user and group id to take, when the engine runs as root."""
    memory: int = 256 * MEBIBYTE
    """Address space, in bytes."""
    scratch_bytes: int = 16 * MEBIBYTE
    """What the scratch folder may hold where it is a file system of its own, and what a single
    file may hold everywhere."""
    scratch_files: int = 1_000
    open_files: int = 32
    threads: int = 32
    processor_seconds: int = 6 * 3600
    """The last resort: what the process may use in its life. The engine watches its share."""
    niceness: int = 10
    """Whoever chats goes first."""
    without: tuple[str, ...] = ()
    """Means that are not tried, by name: where one does harm, the others still hold."""

    def to_argument(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_argument(cls, argument: str) -> Plan:
        plan = cls(**json.loads(argument))
        return dataclasses.replace(plan, without=tuple(plan.without))
