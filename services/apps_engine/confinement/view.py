"""The app's own tree of files: what it may read, a scratch folder, and nothing else.

Where the mount namespace is ours, a new root is built of an empty file system: the readable
folders are bound into it at the places they always had, read-only, and the scratch folder is a
file system in memory with a size of its own. There is no /proc, no home and no data folder in
it to be refused: they do not exist.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from services.apps_engine.confinement import kernel
from services.apps_engine.confinement.plan import Plan
from services.apps_engine.confinement.report import Confinement, Means, State

DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_SAFE = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
_NO_MARKS = kernel.MOUNT_ATTR_RDONLY | kernel.MOUNT_ATTR_NOSUID
_READ_ONLY = _NO_MARKS | kernel.MOUNT_ATTR_NODEV


def build(plan: Plan, readable: Iterable[str], report: Confinement) -> None:
    """Make the new root and step into it, or stay where we are and say why."""
    if report.skips(Means.VIEW):
        return
    if not report.has(Means.MOUNTS):
        report.note(Means.VIEW, State.ABSENT, "needs the mount namespace")
        return
    root = plan.scratch
    try:
        kernel.mount("none", "/", "none", kernel.MS_REC | kernel.MS_PRIVATE)
        kernel.mount("apps", root, "tmpfs", _SAFE, "mode=0755,size=1m,nr_inodes=4096")
    except OSError as error:
        report.note(Means.VIEW, State.REFUSED, str(error))
        return
    try:
        _furnish(root, plan, readable)
        os.chdir(root)
        kernel.pivot_root_here()
        kernel.set_mount_attributes("/", kernel.MOUNT_ATTR_RDONLY, recursive=False)
    except (OSError, KeyError) as error:
        # The scratch folder is an ordinary folder again.
        with contextlib.suppress(OSError):
            kernel.unmount(root)
        report.note(Means.VIEW, State.REFUSED, str(error))
    else:
        report.note(Means.VIEW, State.ACTIVE, f"{plan.scratch_bytes} bytes of scratch")


def _furnish(root: str, plan: Plan, readable: Iterable[str]) -> None:
    scratch = root + plan.scratch
    for path in _outermost(readable):
        _bind(path, root + path)
    for device in DEVICES:
        if Path(device).exists():
            # Devices are written in spite of it; their modes and owners are not.
            _bind_file(device, root + device)
            kernel.set_mount_attributes(root + device, _NO_MARKS, recursive=False)
    Path(scratch).mkdir(parents=True, exist_ok=True)
    kernel.mount(
        "scratch",
        scratch,
        "tmpfs",
        _SAFE,
        f"mode=0700,size={plan.scratch_bytes},nr_inodes={plan.scratch_files}",
    )


def _bind(path: str, target: str) -> None:
    """Show `path` at `target`; a link is made again, and what it means is shown elsewhere."""
    if Path(path).is_symlink():
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).symlink_to(Path(path).readlink())
    elif Path(path).is_dir():
        Path(target).mkdir(parents=True, exist_ok=True)
        kernel.mount(path, target, "none", kernel.MS_BIND | kernel.MS_REC)
        kernel.set_mount_attributes(target, _READ_ONLY, recursive=True)
    else:
        _bind_file(path, target)
        kernel.set_mount_attributes(target, _READ_ONLY, recursive=False)


def _bind_file(path: str, target: str) -> None:
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    Path(target).touch()
    kernel.mount(path, target, "none", kernel.MS_BIND)


def _outermost(paths: Iterable[str]) -> list[str]:
    """`paths` without those that lie below another of them, which is no link."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(f"{one}/") for one in kept if not Path(one).is_symlink()):
            kept.append(path)
    return kept
