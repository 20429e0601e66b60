"""The command `hubbub`.

Each command's module is loaded only when it is used: `hubbub run presence` must not carry the
supervisor, and `hubbub --help` must answer at once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol

from hubbub.cli.failure import Failure, WrongUse
from hubbub.settings import WrongSettings

FAILED = 1
WRONG_USE = 2
INTERRUPTED = 130

# command → (module in hubbub.cli, one line of help)
COMMANDS = {
    "up": ("up", "run a whole Hubbub on this machine"),
    "run": ("run", "run one service, as a container does"),
    "services": ("services", "list the services that answer on the bus"),
    "call": ("call", "call an action of a service"),
    "events": ("events", "show the events that services tell each other"),
    "emit": ("emit", "publish an event"),
    "settings": ("settings", "list every setting with its default and meaning"),
    "metrics": ("metrics", "list every metric with its labels and meaning"),
    "explain": ("explain", "tell why a user did not get a message"),
    "apps": ("apps", "list the apps of a running Hubbub"),
    "app": ("app", "write apps: make, try, check and pack them"),
    "doctor": ("doctor", "check what Hubbub needs on this machine"),
    "migrate": ("migrate", "make the database ready for this version"),
    "backup": ("backup", "copy the database to a file, and put it back"),
    "selftest": ("selftest", "send a message through a running Hubbub"),
    "nats-keys": ("nats_keys", "make the keys with which services sign in to NATS"),
    "mongo-users": ("mongo_users", "make a user of MongoDB for each service"),
    "operator": ("operator", "help the operator of a Kubernetes cluster"),
    "replica-set": ("replica_set", "make a lone mongod a replica set of one"),
}


class Command(Protocol):
    """What a module of a command offers."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def main(self, chosen: argparse.Namespace) -> int:
        """Do it; returns the exit status."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0, 1 when it failed, 2 when it was used wrongly."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = next((word for word in given if not word.startswith("-")), None)
    parser, command = _parser(name)
    chosen = parser.parse_args(given)
    if command is None:
        parser.print_help()
        return WRONG_USE
    try:
        return command.main(chosen)
    except WrongSettings as error:
        _complain(str(error))
        return WRONG_USE
    except WrongUse as error:
        _complain(str(error))
        return WRONG_USE
    except Failure as error:
        _complain(str(error))
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has seen enough, as in `hubbub settings | head`.
        sys.stderr.close()
        return 0


def _parser(name: str | None) -> tuple[argparse.ArgumentParser, Command | None]:
    """The whole parser, with the arguments of the one command that is used."""
    parser = argparse.ArgumentParser(
        prog="hubbub",
        description="A real-time messaging backend that speaks Rocket.Chat's protocols.",
        epilog="`hubbub COMMAND --help` tells more about a command.",
    )
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    used: Command | None = None
    for known, (module, help_line) in COMMANDS.items():
        sub = commands.add_parser(
            known, help=help_line, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if known == name:
            used = import_module(f"hubbub.cli.{module}")
            sub.description = used.__doc__
            used.arguments(sub)
    return parser, used


class _Version(argparse.Action):
    """Prints the version; finding it takes time that other commands need not spend."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="print the version and end")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from hubbub.telemetry.version import revision, version

        print(f"hubbub {version()} ({revision()})")
        parser.exit()


def _complain(text: str) -> None:
    for line in text.splitlines():
        print(f"hubbub: {line}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
