"""Run a whole Hubbub on this machine: database, broker, every service and one address.

MongoDB and NATS are started too, with their data in the folder `.hubbub`, unless HUBBUB_MONGO_URL
and HUBBUB_NATS_URL name running ones. Each service is a process of its own, is started again when
it dies, and logs to `.hubbub/log/<name>.log`. Ctrl-C drains and stops everything.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from hubbub.cli.failure import Failure, WrongUse
from hubbub.local import supervisor
from hubbub.local.plans import Commands, installed_services
from hubbub.local.programs import CannotStart
from hubbub.local.settings import LocalSettings
from hubbub.settings import load


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="address of the front door (%(default)s)"
    )
    parser.add_argument(
        "--port", type=_port, default=3000, help="port of the front door (%(default)s)"
    )
    parser.add_argument(
        "--streamers", type=_count, default=1, metavar="N", help="streamers to run (%(default)s)"
    )
    parser.add_argument(
        "--services", metavar="A,B", default="", help="run only these services, separated by commas"
    )
    parser.add_argument(
        "--data", type=Path, metavar="FOLDER", help="folder for data and logs (.hubbub)"
    )


def main(chosen: argparse.Namespace) -> int:
    settings = load(LocalSettings)
    options = supervisor.Options(
        host=chosen.host,
        port=chosen.port,
        streamers=chosen.streamers,
        data=chosen.data or settings.data,
    )
    try:
        return supervisor.run(options, settings, _chosen_services(chosen.services))
    except CannotStart as error:
        raise Failure(str(error)) from None


def _chosen_services(names: str) -> Commands:
    installed = installed_services()
    if not names:
        return installed
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = sorted(set(wanted) - set(installed))
    if unknown:
        raise WrongUse(f"no service {', '.join(unknown)}; there are: {', '.join(installed)}")
    return {name: installed[name] for name in wanted}


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return port


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 64:
        raise argparse.ArgumentTypeError("expected a number from 1 to 64")
    return count
