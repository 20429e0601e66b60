"""A child that does not outlive its parent, however the parent dies.

`hubbub up` names itself in `HUBBUB_PARENT_PID`. On Linux the kernel sends the child a signal
when the parent dies; everywhere else, and for a parent that died before the child could ask
for that, a thread looks at the parent's id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

VARIABLE = "HUBBUB_PARENT_PID"

_PR_SET_PDEATHSIG = 1
_POLL_INTERVAL = 0.5  # seconds


def follow_parent(grace: float) -> None:
    """End this process when the parent named in the environment dies.

    The process first gets SIGTERM, as if its parent had stopped it, and is ended for good
    `grace` seconds later. Does nothing when no parent is named.
    """
    named = os.environ.get(VARIABLE, "")
    if not named.isdigit():
        return
    parent = int(named)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked
        os.kill(os.getpid(), signal.SIGTERM)
    threading.Thread(target=_watch, args=(parent, grace), name="parent", daemon=True).start()


def _watch(parent: int, grace: float) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL_INTERVAL)
    if sys.platform != "linux":
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)
