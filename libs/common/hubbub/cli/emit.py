"""Publish an event, as a service does: for trying out what listens to it.

hubbub emit user.logged-out '{"user_id": "u1"}'
"""

from __future__ import annotations

import argparse
import asyncio

import orjson

from hubbub.bus.subjects import event_subject
from hubbub.cli.broker import broker
from hubbub.cli.failure import WrongUse


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("event", metavar="EVENT", help="its name, for example user.logged-out")
    parser.add_argument("content", metavar="JSON", nargs="?", default="{}", help="an object")


def main(chosen: argparse.Namespace) -> int:
    try:
        content = orjson.loads(chosen.content)
    except orjson.JSONDecodeError as error:
        raise WrongUse(f"the content is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise WrongUse("the content should be a JSON object")
    if not chosen.event or set(chosen.event) & set(" \t*>"):
        raise WrongUse(f"{chosen.event!r} is not the name of an event")
    asyncio.run(_publish(chosen.event, orjson.dumps(content)))
    return 0


async def _publish(name: str, body: bytes) -> None:
    async with broker() as client:
        await client.publish(event_subject(name), body)
        await client.flush()
