"""Help the operator of a Kubernetes cluster.

    hubbub operator release       delete the declared apps (HubbubApp) of the namespace, and wait

What an operator is there to remove goes in order; what is left after `--within` seconds is let go
as it is, so that a namespace can be removed although nobody looks after it any more. The chart
runs this before a release is uninstalled.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Protocol

from hubbub.cli.failure import Failure

GROUP = "hubbub.operations"
RELEASE = "operator-release"
WITHIN = 90.0  # seconds


class Released(Protocol):
    """What became of the declared apps, by name."""

    @property
    def removed(self) -> Sequence[str]:
        """Gone from the apps engine, too."""
        ...

    @property
    def let_go(self) -> Sequence[str]:
        """Nobody removed them from it in time."""
        ...


def arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    releasing = actions.add_parser("release", help="let the declared apps of the namespace go")
    releasing.add_argument(
        "--within",
        type=float,
        default=WITHIN,
        metavar="SECONDS",
        help=f"how long to wait for the operator ({WITHIN:g})",
    )


def main(chosen: argparse.Namespace) -> int:
    released = _release()(chosen.within)
    print(f"removed: {', '.join(released.removed) or 'none'}")
    if released.let_go:
        print(f"let go, and still in the apps engine: {', '.join(released.let_go)}")
    return 0


def _release() -> Callable[[float], Released]:
    entries = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if RELEASE not in entries:
        raise Failure("the operator is not installed here")
    try:
        found: Callable[[float], Released] = entries[RELEASE].load()
    except ImportError as error:
        raise Failure(f"{error}; the extra hubbub[operator] brings what is missing") from None
    return found
