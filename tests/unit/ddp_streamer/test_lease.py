"""The proof of life: renewed while the streamer lives, and gone for good when it ends."""

from __future__ import annotations

import asyncio
from typing import cast

from hubbub.bus.connection import Connection
from hubbub.clock import FakeClock
from services.ddp_streamer.lease import InstanceLease
from tests.waiting import eventually


class Store:
    """NATS as far as a lease needs it: one bucket."""

    def __init__(self) -> None:
        self.did: list[tuple[str, str]] = []

    def jetstream(self) -> Store:
        return self

    async def key_value(self, bucket: str) -> Store:
        return self

    async def put(self, key: str, value: bytes) -> None:
        self.did.append(("put", key))

    async def delete(self, key: str) -> None:
        self.did.append(("delete", key))


async def test_a_lease_that_was_given_up_is_not_taken_again() -> None:
    """Else the sockets of a streamer that is gone would count until the key runs out."""
    store = Store()
    lease = InstanceLease(cast(Connection, store), "s-1", "boot", clock=FakeClock())
    renewing = asyncio.create_task(lease.run())
    await eventually(lambda: len(store.did) > 3)
    await lease.end()
    async with asyncio.timeout(2):
        await renewing

    assert store.did.count(("delete", "s-1")) == 1
    assert store.did[-1] == ("delete", "s-1")
