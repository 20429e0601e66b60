"""Make a lone mongod the primary of a replica set of one, as development set-ups need it.

    hubbub replica-set --address mongo:27017 --member mongo:27017

`--member` is the address by which the server knows itself and tells clients of itself; clients
that connect with `directConnection=true` never ask. Harmless when that is done already, and when
the server changed its address. With `--stay` the command then waits to be stopped, as the second
container of a pod has to.
"""

from __future__ import annotations

import argparse
import asyncio
import signal

from hubbub.cli.failure import Failure
from hubbub.local.replica_set import NAME, make_primary


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--address", default="127.0.0.1:27017", help="to connect to (%(default)s)")
    parser.add_argument("--member", help="the server's own name for itself (the address)")
    parser.add_argument(
        "--within", type=float, default=120.0, metavar="SECONDS", help="to wait (%(default)s)"
    )
    parser.add_argument("--stay", action="store_true", help="wait for SIGTERM afterwards")


def main(chosen: argparse.Namespace) -> int:
    asyncio.run(_work(chosen.address, chosen.member, within=chosen.within, stay=chosen.stay))
    return 0


async def _work(address: str, member: str | None, *, within: float, stay: bool) -> None:
    if not stay:
        await _initiate(address, member, within=within)
        return
    stopped = asyncio.Event()
    # The first process of a container ignores signals that it does not ask for.
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    initiating = asyncio.create_task(_initiate(address, member, within=within), name="initiate")
    waiting = asyncio.create_task(stopped.wait(), name="stopped")
    try:
        await asyncio.wait({initiating, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if initiating.done():
            initiating.result()
            await waiting
    finally:
        for task in (initiating, waiting):
            task.cancel()
        await asyncio.gather(initiating, waiting, return_exceptions=True)


async def _initiate(address: str, member: str | None, *, within: float) -> None:
    try:
        async with asyncio.timeout(within):
            await make_primary(address, member)
    except TimeoutError:
        raise Failure(f"{address} did not become a primary within {within:g} seconds") from None
    print(f"{address} is the primary of {NAME}", flush=True)
