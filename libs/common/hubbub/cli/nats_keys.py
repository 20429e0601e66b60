"""Make the keys with which the services sign in to NATS, and what the server must know of them.

    hubbub nats-keys keys

Writes into the folder `<service>.nk` for each service and `cli.nk` for this command line, which
are secret, and `authorization.conf`, which is not: a NATS server includes it. Services find their
key with HUBBUB_NATS_KEYS=FOLDER. Keys that are there stay; delete one and run this again to
exchange it, then reload the server. With `--apart` every file gets a folder of its own, named
after its user or `nats`, so that containers can mount their own key and see no other. With
`--table` it prints who may do what, and writes nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hubbub.bus.broker import make_keys
from hubbub.bus.permissions import all_rights
from hubbub.cli.failure import Failure, WrongUse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="?", help="where the keys are, or shall be")
    parser.add_argument("--apart", action="store_true", help="every file in a folder of its own")
    parser.add_argument("--table", action="store_true", help="print the rights as Markdown")


def main(chosen: argparse.Namespace) -> int:
    if chosen.table == (chosen.folder is not None):
        raise WrongUse("name a folder, or ask for --table")
    if chosen.table:
        print(table(), end="")
        return 0
    try:
        configuration = make_keys(chosen.folder, apart=chosen.apart)
    except (OSError, ValueError) as error:
        raise Failure(f"the keys cannot be made: {error}") from None
    print(f"{len(all_rights())} keys are in {chosen.folder}; the NATS server includes")
    print(f"{configuration}")
    return 0


def table() -> str:
    """Every user and its subjects, as Markdown."""
    parts = []
    for user, rights in sorted(all_rights().items()):
        answers = " (and answers those who ask)" if rights.answers else ""
        parts.append(
            f"## `{user}`\n\n"
            f"Publishes:\n\n{_list(rights.publish)}\n"
            f"Subscribes{answers}:\n\n"
            f"{_list(rights.subscribe)}"
        )
    return "\n".join(parts)


def _list(subjects: tuple[str, ...]) -> str:
    return "".join(f"* `{subject}`\n" for subject in subjects) or "* nothing\n"
