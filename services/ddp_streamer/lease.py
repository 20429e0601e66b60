"""This streamer's proof of life: a key that vanishes when it is not renewed."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from nats.errors import Error as NatsError
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import BucketNotFoundError, NotFoundError
from nats.js.kv import KeyValue

from hubbub.bus.connection import Connection
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.presence import INSTANCES_BUCKET
from hubbub.tasks import heed_cancellation
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

RENEW_INTERVAL: Final = 5.0  # seconds
_TTL: Final = 15.0  # seconds


class InstanceLease:
    """The key of one streamer in the bucket of instances."""

    def __init__(
        self,
        client: Connection,
        instance: str,
        boot_id: str,
        *,
        replicas: int = 1,
        on_made: Callable[[], None] = lambda: None,
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            replicas: copies of the bucket, should it have to be made.
            on_made: called when the bucket was not there and was made: what others knew of
                streamers may be lost with the old one.
        """
        self._replicas = replicas
        self._on_made = on_made
        self._client = client
        self._instance = instance
        self._value = boot_id.encode()
        self._clock = clock or SystemClock()
        self._bucket: KeyValue | None = None
        self._ended = False
        self._writing = asyncio.Lock()  # or a renewal under way would bring the key back

    async def run(self) -> None:
        """Renew until it is ended or cancelled."""
        failing = False
        while not self._ended:
            try:
                await self._renew()
                failing = False
            except (NatsError, TimeoutError) as error:
                self._bucket = None  # it may have been lost; it holds nothing that lasts
                if not failing:
                    log.warning("lease_not_renewed", reason=str(error) or type(error).__name__)
                failing = True
            heed_cancellation()
            await self._clock.sleep(1.0 if failing else RENEW_INTERVAL)

    async def end(self) -> None:
        """Give up the key for good: this streamer has told presence of all its sockets."""
        self._ended = True
        async with self._writing:
            if self._bucket is not None:
                with contextlib.suppress(NatsError, TimeoutError):
                    await self._bucket.delete(self._instance)

    async def _renew(self) -> None:
        async with self._writing:
            if self._ended:
                return
            if self._bucket is None:
                self._bucket = await self._open()
            await asyncio.wait_for(self._bucket.put(self._instance, self._value), RENEW_INTERVAL)

    async def _open(self) -> KeyValue:
        stream = self._client.jetstream()
        try:
            return await stream.key_value(INSTANCES_BUCKET)
        except (BucketNotFoundError, NotFoundError):
            bucket = await stream.create_key_value(
                KeyValueConfig(
                    bucket=INSTANCES_BUCKET,
                    history=1,
                    ttl=_TTL,
                    storage=StorageType.MEMORY,
                    replicas=self._replicas,
                )
            )
            log.info("presence_bucket_made")
            self._on_made()
            return bucket
