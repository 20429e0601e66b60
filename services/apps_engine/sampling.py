"""What the process of an app uses, read from the kernel's files about it."""

from __future__ import annotations

import os
from pathlib import Path

from services.apps_engine.domain.watch import Sample

_AFTER_NAME = 3  # the number, counted from 1, of the field that follows the name
_USER_TIME, _SYSTEM_TIME, _THREADS = 14, 15, 20  # fields of /proc/<pid>/stat, counted from 1
_RESIDENT = 1  # field of /proc/<pid>/statm, counted from 0


def sample(pid: int, now: float, scratch: str | None, *, most_files: int) -> Sample | None:
    """What `pid` has used, and what lies in `scratch`; None: it is gone, or there is no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        statm = Path(f"/proc/{pid}/statm").read_text(encoding="ascii")
    except OSError:
        return None
    # The name of a program may hold spaces and brackets; the last bracket ends it.
    fields = stat.rpartition(")")[2].split()
    ticks = int(fields[_USER_TIME - _AFTER_NAME]) + int(fields[_SYSTEM_TIME - _AFTER_NAME])
    size, files = use_of(scratch, most_files=most_files) if scratch else (0, 0)
    return Sample(
        at=now,
        processor=ticks / os.sysconf("SC_CLK_TCK"),
        resident=int(statm.split()[_RESIDENT]) * os.sysconf("SC_PAGE_SIZE"),
        threads=int(fields[_THREADS - _AFTER_NAME]),
        scratch=size,
        scratch_files=files,
    )


def use_of(folder: str, *, most_files: int) -> tuple[int, int]:
    """Bytes and entries below `folder`. Stops counting once there are more than `most_files`."""
    size = files = 0
    waiting = [folder]
    while waiting and files <= most_files:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    files += 1
                    if files > most_files:
                        break
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        # What is allocated, not what a file with holes pretends to have.
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
        except FileNotFoundError:
            continue  # the app removed it meanwhile
    return size, files
