"""List the services that answer on the bus: instances, version and what they offer.

Asks everybody at once and waits a moment for the answers.
"""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

import orjson
from nats.aio.msg import Msg

from hubbub.cli import output
from hubbub.cli.broker import broker
from hubbub.cli.failure import Failure


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", nargs="?", help="only this one, with its actions")
    parser.add_argument(
        "--wait", type=float, default=0.5, metavar="SECONDS", help="for answers (%(default)s)"
    )
    output.json_argument(parser)


def main(chosen: argparse.Namespace) -> int:
    found = asyncio.run(ask(chosen.service, wait=chosen.wait))
    if chosen.json:
        print(output.as_json(found))
        return 0
    if not found:
        raise Failure(
            f"no instance of {chosen.service!r} answered" if chosen.service else "nobody answered"
        )
    if chosen.service:
        _show_actions(found)
    else:
        _show_services(found)
    return 0


async def ask(service: str | None, *, wait: float) -> list[dict[str, Any]]:
    """What every instance says about itself, sorted by name."""
    answers: list[dict[str, Any]] = []

    async def answered(message: Msg) -> None:
        answers.append(orjson.loads(message.data))

    async with broker() as client:
        inbox = client.new_inbox()
        await client.subscribe(inbox, cb=answered)
        await client.publish(f"$SRV.INFO.{service}" if service else "$SRV.INFO", b"", reply=inbox)
        await client.flush()
        await asyncio.sleep(wait)
    return sorted(answers, key=lambda answer: (answer["name"], answer["id"]))


def _show_services(found: list[dict[str, Any]]) -> None:
    rows = [
        [
            one["name"],
            one["id"],
            one.get("metadata", {}).get("process", ""),
            one["version"],
            str(len(one["endpoints"])),
        ]
        for one in found
    ]
    output.table(["service", "instance", "process", "version", "actions"], rows)


def _show_actions(found: list[dict[str, Any]]) -> None:
    instances = ", ".join(one["id"] for one in found)
    print(f"{found[0]['name']} {found[0]['version']}: {found[0].get('description', '')}")
    print(f"instances: {instances}\n")
    rows = [
        [
            endpoint["name"],
            endpoint["metadata"].get("signature", ""),
            endpoint["metadata"].get("doc", ""),
        ]
        for endpoint in found[0]["endpoints"]
    ]
    output.table(["action", "arguments and result", "meaning"], rows)
