"""The proof of life: renewed while the streamer lives, and gone for good when it ends."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import cast

from nats.js.api import KeyValueConfig
from nats.js.errors import BucketNotFoundError, NoStreamResponseError

from hubbub.bus.connection import Connection
from hubbub.clock import FakeClock
from hubbub.contracts.presence import INSTANCES_BUCKET
from services.ddp_streamer.lease import InstanceLease
from tests.waiting import eventually


class Store:
    """NATS as far as a lease needs it: one bucket."""

    def __init__(self) -> None:
        self.did: list[tuple[str, str]] = []
        self.lost = False

    def jetstream(self) -> Store:
        return self

    async def key_value(self, bucket: str) -> Store:
        if self.lost:
            raise BucketNotFoundError
        return self

    async def create_key_value(self, config: KeyValueConfig) -> Store:
        self.lost = False
        self.did.append(("make", f"{config.bucket} x{config.replicas}"))
        return self

    async def put(self, key: str, value: bytes) -> None:
        if self.lost:
            raise NoStreamResponseError
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


async def test_a_lost_bucket_is_made_anew_and_everything_told_again() -> None:
    """Within seconds: presence may have lost what it knew together with the bucket."""
    store, clock, made = Store(), FakeClock(), []
    lease = InstanceLease(
        cast(Connection, store),
        "s-1",
        "boot",
        replicas=3,
        on_made=lambda: made.append(clock.monotonic()),
        clock=clock,
    )
    renewing = asyncio.create_task(lease.run())
    await eventually(lambda: len(store.did) > 2)
    lost_at = clock.monotonic()
    store.lost = True
    await eventually(lambda: made)
    count = len(store.did)
    await eventually(lambda: len(store.did) > count + 2)
    await lease.end()
    async with asyncio.timeout(2):
        await renewing

    assert made[0] - lost_at < 10
    assert len(made) == 1
    again = ("make", f"{INSTANCES_BUCKET} x3"), ("put", "s-1")
    assert again in pairwise(store.did)
