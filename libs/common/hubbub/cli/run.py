"""Run one service until it is told to stop.

SIGTERM (or Ctrl-C) asks it to drain: finish what is under way, take nothing new. A second one
makes it stop at once. Exit status: 0 after a clean stop, 1 after a failure, 2 for wrong settings.
"""

from __future__ import annotations

import argparse
from importlib import metadata

from hubbub.cli.failure import WrongUse
from hubbub.runtime import run_process

GROUP = "hubbub.services"


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", metavar="SERVICE", help="its name; `hubbub run list` shows all")


def main(chosen: argparse.Namespace) -> int:
    entries = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if chosen.service == "list":
        print("\n".join(sorted(entries)))
        return 0
    entry = entries.get(chosen.service)
    if entry is None:
        raise WrongUse(f"no service {chosen.service!r}; there are: {', '.join(sorted(entries))}")
    # Only this service's modules are loaded, so that its process stays small.
    return run_process(entry.name, entry.load())
