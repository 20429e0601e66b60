"""A shop in a process of its own, to be killed: python -m tests.integration.bus.worker URL NAME."""

from __future__ import annotations

import asyncio
import sys

from hubbub.bus import BusSettings, NatsBus
from tests.unit.bus.shop import ShopService


async def main(url: str, name: str) -> None:
    bus = NatsBus(BusSettings(nats_url=url, overrides={}), service="shop", instance=name)
    await bus.connect()
    await bus.serve(ShopService(name))
    print("ready", flush=True)  # noqa: T201  # the test waits for it
    await asyncio.to_thread(sys.stdin.read)
    await bus.drain()
    await bus.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
