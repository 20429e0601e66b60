"""Who a DDP session was, so that a client which offers its old id is that user again.

Some clients never log in after a reconnect: they offer the session id of the cut socket and
expect to be who they were. The id is a credential, so it is kept only as a hash; it works once;
what is kept with it is the user and the login token's hash, never the token.

    key    SHA-256 (hex) of the session id
    value  {"user", "token", "personal", "instance", "connection"}, or {"taken_by": key}
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from nats.errors import Error as NatsError
from nats.js.api import KeyValueConfig, StorageType
from nats.js.errors import (
    BucketNotFoundError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NotFoundError,
)
from nats.js.kv import KeyValue

from hubbub.bus.connection import Connection
from hubbub.clock import Clock, SystemClock
from hubbub.contracts.streamers import SESSIONS_BUCKET, TAKEN_SUBJECTS
from hubbub.errors import Unavailable
from hubbub.ids import UNMISTAKABLE
from hubbub.telemetry.log import get_logger
from services.ddp_streamer.audiences.wire import Arrived, subscribe

log = get_logger(__name__)

_LENGTH = 24  # characters of a session id
_ALPHABET = frozenset(UNMISTAKABLE)
_BATCH = 64  # keys written beside each other
_TIMEOUT = 5.0  # seconds for one answer
_DUPLICATES = 120.0  # seconds; at most as long as anything is kept
_RENEWALS = 4  # in the time for which an identity is kept


class Holder(Protocol):
    """A session with somebody signed in."""

    secret_id: str
    hashed_token: str
    personal_token: bool

    @property
    def user_id(self) -> str | None: ...
    @property
    def public_id(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a session was, and where its socket was last."""

    user_id: str
    hashed_token: str
    personal: bool
    instance: str
    connection_id: str


class Identities:
    """The identities of all sessions of the cluster; writes are done by `run`, behind the login."""

    def __init__(
        self,
        client: Connection,
        instance: str,
        *,
        seconds: float,
        replicas: int = 1,
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            seconds: how long an identity is kept after its socket was last seen; 0: not at all.
        """
        self._client = client
        self._instance = instance
        self._seconds = seconds
        self._replicas = replicas
        self._clock = clock or SystemClock()
        self._bucket: KeyValue | None = None
        self._unwritten: dict[str, bytes | None] = {}  # key → value; None: to be forgotten
        self._writing = asyncio.Lock()
        self._wake = asyncio.Event()

    def may_be(self, offered: str | None) -> bool:
        """Whether `offered` can be the id of a session that is kept."""
        return (
            self._seconds > 0
            and offered is not None
            and len(offered) == _LENGTH
            and _ALPHABET.issuperset(offered)
        )

    # --- what happens to sessions -------------------------------------------------------------

    def remember(self, session: Holder) -> None:
        """Somebody signed in on it, or has another token."""
        if self._seconds > 0 and session.user_id is not None:
            self._unwritten[_key(session.secret_id)] = self._value(session)
            self._wake.set()

    def forget(self, session: Holder) -> None:
        """Nobody is signed in on it any more, and nobody shall be."""
        if self._seconds > 0:
            self._unwritten[_key(session.secret_id)] = None
            self._wake.set()

    def taken(self, session: Holder) -> None:
        """Its identity is another session's now: nothing of it is written any more."""
        self._unwritten.pop(_key(session.secret_id), None)

    async def take(self, offered: str, session: Holder) -> Identity | None:
        """Who the session `offered` was. It is `session`'s from now on, whose socket may end
        at any moment: the identity is then found under the new id. None: there is none.

        May be repeated after a failure. Raises: Unavailable: nobody knows.
        """
        try:
            async with asyncio.timeout(_TIMEOUT):
                return await self._take(_key(offered), _key(session.secret_id), session)
        except (NatsError, TimeoutError) as error:
            self._bucket = None
            raise Unavailable(f"sessions cannot be read: {type(error).__name__}") from None

    async def _take(self, old: str, new: str, session: Holder) -> Identity | None:
        bucket = await self._opened()
        while True:
            try:
                entry = await bucket.get(old)
            except KeyNotFoundError:
                return None
            kept = orjson.loads(entry.value or b"{}")
            if "taken_by" in kept:
                return await self._taken_before(bucket, kept, new)
            # Under the new id before it is taken from the old one: nothing can get lost between.
            moved = kept | {"instance": self._instance, "connection": session.public_id}
            await bucket.put(new, orjson.dumps(moved | {"from": _place(kept)}))
            mark = orjson.dumps({"taken_by": new})
            try:
                await bucket.update(old, mark, last=entry.revision)
            except KeyWrongLastSequenceError:
                await bucket.delete(new)
                continue  # renewed, or taken by another: look again
            return _identity(kept, _place(kept))

    async def _taken_before(
        self, bucket: KeyValue, kept: dict[str, Any], new: str
    ) -> Identity | None:
        """An id works once; but an attempt whose answer was lost may have been our own."""
        if kept["taken_by"] != new:
            return None
        moved = orjson.loads((await bucket.get(new)).value or b"{}")
        return _identity(moved, moved.get("from", ["", ""]))

    def _value(self, session: Holder) -> bytes:
        return orjson.dumps(
            {
                "user": session.user_id,
                "token": session.hashed_token,
                "personal": session.personal_token,
                "instance": self._instance,
                "connection": session.public_id,
            }
        )

    # --- sockets that came back elsewhere -----------------------------------------------------

    async def listen(self, on_taken: Callable[[str, str], None]) -> None:
        """Call `on_taken(user id, connection id)` for sockets here whose client came back."""

        def handle(message: Arrived) -> None:
            user_id, connection_id = orjson.loads(message.payload)
            on_taken(user_id, connection_id)

        await subscribe(self._client, TAKEN_SUBJECTS + self._instance, handle)

    async def tell_taken(self, identity: Identity) -> None:
        """The streamer that had the socket closes it, should it still be open there."""
        if self._client.is_connected:
            payload = orjson.dumps([identity.user_id, identity.connection_id])
            await self._client.publish(TAKEN_SUBJECTS + identity.instance, payload)

    # --- keeping ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write what is to be kept, until cancelled."""
        pause = 0.5
        while self._seconds > 0:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self.flush()
                pause = 0.5
            except Unavailable as error:
                log.warning("sessions_not_kept", reason=error.reason)
                self._wake.set()
                await self._clock.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311
                pause = min(5.0, pause * 2)

    async def renew(self, sessions: Iterable[Holder]) -> None:
        """Keep those that have somebody signed in for the whole time again, spread over a
        quarter of it, so that a streamer that dies takes no identity with it."""
        signed_in = [session for session in sessions if session.user_id is not None]
        period = self._seconds / _RENEWALS
        steps = -(-len(signed_in) // _BATCH)
        for step in range(steps):
            for session in signed_in[step * _BATCH : (step + 1) * _BATCH]:
                self.remember(session)
            await self._clock.sleep(period / steps)
        if not steps:
            await self._clock.sleep(period)

    async def flush(self) -> None:
        """Write everything that is to be kept. Raises: Unavailable: some of it is not yet."""
        async with self._writing:
            while self._unwritten:
                keys = list(self._unwritten)[:_BATCH]
                batch = {key: self._unwritten.pop(key) for key in keys}
                try:
                    async with asyncio.timeout(_TIMEOUT):
                        await _write_all(await self._opened(), batch)
                except (NatsError, TimeoutError) as error:
                    self._bucket = None
                    self._unwritten = batch | self._unwritten  # what came meanwhile is newer
                    raise Unavailable(f"sessions cannot be kept: {type(error).__name__}") from None

    async def _opened(self) -> KeyValue:
        if self._bucket is None:
            self._bucket = await self._open()
        return self._bucket

    async def _open(self) -> KeyValue:
        stream = self._client.jetstream(timeout=_TIMEOUT)
        try:
            bucket = await stream.key_value(SESSIONS_BUCKET)
        except (BucketNotFoundError, NotFoundError):
            return await stream.create_key_value(
                KeyValueConfig(
                    bucket=SESSIONS_BUCKET,
                    history=1,
                    ttl=self._seconds,
                    storage=StorageType.FILE,
                    replicas=self._replicas,
                )
            )
        info = await stream.stream_info(f"KV_{SESSIONS_BUCKET}")
        if info.config.max_age != self._seconds:
            window = min(_DUPLICATES, self._seconds)
            await stream.update_stream(
                info.config.evolve(max_age=self._seconds, duplicate_window=window)
            )
        return bucket


async def _write_all(bucket: KeyValue, values: dict[str, bytes | None]) -> None:
    writes = (_write(bucket, key, value) for key, value in values.items())
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _write(bucket: KeyValue, key: str, value: bytes | None) -> None:
    if value is None:
        await bucket.delete(key)
    else:
        await bucket.put(key, value)


def _key(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()


def _place(kept: dict[str, Any]) -> list[str]:
    return [kept["instance"], kept["connection"]]


def _identity(kept: dict[str, Any], place: list[str]) -> Identity:
    return Identity(kept["user"], kept["token"], kept["personal"], place[0], place[1])
