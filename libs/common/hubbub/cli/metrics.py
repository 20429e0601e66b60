"""List every metric that Hubbub's processes show: name, type, labels and meaning.

    hubbub metrics --list             all of them, by service
    hubbub metrics --list streamer    only those with this word in their name or service

What a process shows at the moment is on its operations port: `curl http://…:8081/metrics`.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from hubbub.cli import output
from hubbub.cli.failure import WrongUse
from hubbub.telemetry.inventory import described


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("word", nargs="?", default="", help="part of a name or of a service")
    parser.add_argument("--list", action="store_true", help="list what the code defines")
    output.json_argument(parser)


def main(chosen: argparse.Namespace) -> int:
    if not chosen.list:
        raise WrongUse("say --list; the figures of a process are on its operations port, /metrics")
    word = chosen.word.lower()
    found = [one for one in described() if word in one.name or word in one.service]
    if chosen.json:
        print(output.as_json([asdict(one) for one in found]))
    else:
        output.table(
            ["name", "type", "labels", "service", "meaning"],
            [
                [one.name, one.type, ", ".join(one.labels) or "-", one.service, one.help]
                for one in found
            ],
        )
    return 0
