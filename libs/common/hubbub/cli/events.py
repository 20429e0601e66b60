"""Show the events that services tell each other, as they happen.

    hubbub events --filter 'user.*'

Shows everything that happens until Ctrl-C. Listening takes no event away from anybody.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from datetime import datetime
from fnmatch import fnmatchcase

import orjson
from nats.aio.msg import Msg

from hubbub.bus.subjects import event_subject
from hubbub.cli.broker import broker
from hubbub.cli.failure import Failure

_PREFIX = event_subject("")


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--filter", default="*", metavar="PATTERN", help="names, as in a shell")
    parser.add_argument("--count", type=int, default=0, metavar="N", help="end after so many")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")


def main(chosen: argparse.Namespace) -> int:
    asyncio.run(_follow(chosen.filter, count=chosen.count, as_json=chosen.json))
    return 0


async def _follow(pattern: str, *, count: int, as_json: bool) -> None:
    ended = asyncio.Event()
    seen = 0
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ended.set)

    async def happened(message: Msg) -> None:
        nonlocal seen
        name = message.subject.removeprefix(_PREFIX)
        if ended.is_set() or not fnmatchcase(name, pattern):
            return
        print(_line(name, message.data, as_json=as_json), flush=True)
        seen += 1
        if seen == count:
            ended.set()

    async with broker() as client:
        await client.subscribe(event_subject(">"), cb=happened)
        await client.flush()
        while not ended.is_set():
            if not client.is_connected:
                raise Failure("the connection to NATS is lost")
            try:
                async with asyncio.timeout(1.0):
                    await ended.wait()
            except TimeoutError:
                continue


def _line(name: str, body: bytes, *, as_json: bool) -> str:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = body.decode(errors="replace")
    now = datetime.now().astimezone()
    if as_json:
        return orjson.dumps({"at": now, "event": name, "content": content}).decode()
    return f"{now:%H:%M:%S.%f}"[:-3] + f"  {name}  {orjson.dumps(content).decode()}"
