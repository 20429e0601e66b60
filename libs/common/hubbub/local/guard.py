"""Runs another program so that it ends when our own process ends, even by kill -9.

    python guard.py PARENT_PID SIGNAL PROGRAM ARGUMENT…

On Linux this becomes the program: the kernel sends it SIGNAL when the parent dies. Elsewhere
it stays as the program's parent and looks at the parent's id. It is run as a file with `-I -S`
and imports nothing but the standard library, so that starting it costs milliseconds.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
POLL_INTERVAL = 0.5  # seconds


def main(arguments: list[str]) -> int:
    parent, number, program = int(arguments[0]), int(arguments[1]), arguments[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel was asked
            return 1
        os.execv(program[0], program)  # noqa: S606 - the caller gives a path
    return watch(parent, number, program)


def watch(parent: int, number: int, program: list[str]) -> int:
    """Stay between the parent and the program."""
    child = subprocess.Popen(program)  # noqa: S603 - the caller gives a path
    for passed_on in (signal.SIGTERM, signal.SIGINT):
        signal.signal(passed_on, lambda received, _: child.send_signal(received))
    while child.poll() is None:
        if os.getppid() != parent:
            child.send_signal(number)
            return child.wait()
        time.sleep(POLL_INTERVAL)
    return child.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
