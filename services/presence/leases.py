"""The NATS bucket in which streamers show that they are alive."""

from __future__ import annotations

from collections.abc import Callable

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import BucketNotFoundError, KeyNotFoundError
from nats.js.kv import KV_DEL, KV_OP, KV_PURGE

from hubbub.contracts.presence import INSTANCES_BUCKET
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

_SUBJECTS = f"$KV.{INSTANCES_BUCKET}."
_ANSWER_TIMEOUT = 2.0  # seconds


class NatsLeases:
    """Hears renewals, and can look a key up."""

    def __init__(
        self,
        client: Client,
        *,
        lease: float,
        replicas: int = 1,
        on_renewal: Callable[[str, str], None],
    ) -> None:
        """
        Args:
            lease: seconds that a key lives without renewal.
            replicas: copies of the bucket.
            on_renewal: called with the streamer's name and boot id.
        """
        self._client = client
        self._lease = lease
        self._replicas = replicas
        self._on_renewal = on_renewal

    async def start(self) -> None:
        """Make the bucket if it is missing, and listen."""
        await self._client.subscribe(_SUBJECTS + ">", cb=self._hear)
        await self._client.flush()
        try:
            await self._client.jetstream(timeout=_ANSWER_TIMEOUT).create_key_value(
                KeyValueConfig(
                    bucket=INSTANCES_BUCKET,
                    ttl=self._lease,
                    storage=StorageType.MEMORY,
                    replicas=self._replicas,
                )
            )
        except NatsError as error:  # there with other options, or not now: streamers make it too
            log.info("presence_bucket_not_made", reason=type(error).__name__)

    @property
    def can_hear(self) -> bool:
        """Whether we are connected."""
        return bool(self._client.is_connected)

    async def is_held(self, name: str) -> bool | None:
        """Whether a streamer's key is there; None: unknown."""
        try:
            bucket = await self._client.jetstream(timeout=_ANSWER_TIMEOUT).key_value(
                INSTANCES_BUCKET
            )
            await bucket.get(name)
        except (KeyNotFoundError, BucketNotFoundError):
            return False
        except (NatsError, TimeoutError) as error:
            log.warning("presence_bucket_unknown", reason=type(error).__name__)
            return None
        return True

    async def _hear(self, message: Msg) -> None:
        if message.headers and message.headers.get(KV_OP) in (KV_DEL, KV_PURGE):
            return  # a streamer that leaves takes its connections away itself
        name = message.subject.removeprefix(_SUBJECTS)
        self._on_renewal(name, message.data.decode("utf-8", "replace"))
