"""A hub as a process of its own, for tests that kill and freeze it."""

from __future__ import annotations

import sys

from hubbub.runtime import run_process
from services.stream_hub.service import run

if __name__ == "__main__":
    sys.exit(run_process("stream-hub", run))
