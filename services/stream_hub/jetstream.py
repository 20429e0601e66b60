"""The event log on JetStream: its stream, appending with acknowledgements, reading back.

The stream takes events only on the subjects of one epoch, `hubbub.v1.append.<epoch>.<audience>`,
and stores them as `hubbub.v1.event-log.<audience>`. A leader begins by moving the stream to its
own epoch. From then on the server itself refuses whatever a stale leader still sends: expected
sequences alone would let it in whenever as many events came between as it had refused.

nats-py's own `publish_async` is not used: its futures never complete on an error of the API.
Acknowledgements come to one inbox, numbered, and are handed on as they arrive.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

import nats.errors
import orjson
from nats.aio.msg import Msg
from pydantic import ValidationError

from hubbub.bus.line import Line, Opened
from hubbub.contracts.event_log import (
    APPEND_SUBJECTS,
    CONTROL,
    LIVE_SUBJECTS,
    LOG_STREAM,
    LOG_SUBJECTS,
    Audience,
    Header,
    Marker,
    decode_control,
)
from hubbub.errors import Unavailable
from services.stream_hub.settings import StreamHubSettings

EXPECTED_SEQUENCE: Final = "Nats-Expected-Last-Sequence"

_API = "$JS.API."
_BEFORE = "Nats-Last-Sequence"  # in an answer of several messages: sequence of the one before
_NANOSECONDS = 1_000_000_000
_NOT_FOUND = 10059
_CONFLICT = 10071
_NO_ROOM = frozenset((10023, 10028, 10047, 10077))
"""Of the server, of memory, of the disk; and a store that takes nothing more."""
_DUPLICATE_WINDOW = 120
_PING = 1  # seconds for the server's answer to a ping
_READ_BATCH = 256
_READ_BYTES = 8 * 1024 * 1024


class LogUnavailable(Exception):
    """JetStream does not answer, or not with what is needed. Trying again may help."""


class LogFull(LogUnavailable):
    """JetStream has no room: its disk or the account's share of it is used up."""


class LogMissing(Exception):
    """There is no such stream."""


class LogState(NamedTuple):
    """How far the log is."""

    created: str
    first: int
    """Sequence of the oldest event; `last` + 1 in an empty log."""
    last: int
    epoch: int
    """Whose events the log takes; 0 if nobody's."""


class Entry(NamedTuple):
    """One event in the log, without what it says."""

    sequence: int
    audience: Audience
    epoch: int
    event_id: str
    marker: Marker | None


class Acknowledged(Protocol):
    """Who hears of the fate of each append."""

    def __call__(self, number: int, sequence: int | None, refusal: str) -> None:
        """Append `number` stands at `sequence`, or was refused with a word of explanation:
        `conflict` (the log's last sequence is another one), `storage` (there is no room for it)
        or `unavailable`."""
        ...


class EventLog(Protocol):
    """What the hub needs from the log."""

    @property
    def max_payload(self) -> int:
        """Bytes that one event may have, headers included."""
        ...

    async def prepare(self, epoch: int) -> LogState:
        """Create the stream, or bring it in line with the settings; from now on it takes events
        of `epoch` only."""
        ...

    async def delete(self) -> None:
        """Forget everything, the stream itself included."""
        ...

    async def state(self) -> LogState:
        """How far the log is now. Raises: LogMissing; LogUnavailable."""
        ...

    async def read(self, first: int, last: int) -> list[Entry]:
        """All events that are kept from `first` to `last`. Raises: LogUnavailable."""
        ...

    async def last_marker(self) -> Marker | None:
        """The last thing said on the control audience, if it is a marker that is kept."""
        ...

    def append(self, number: int, audience: str, payload: bytes, headers: dict[str, str]) -> None:
        """Send an event on its way; its fate is told under `number`.

        Raises: LogUnavailable: it cannot be handed over.
        """
        ...

    async def append_now(self, audience: str, payload: bytes, headers: dict[str, str]) -> int:
        """Append an event and return its sequence. Raises: LogUnavailable: or its fate is
        unknown."""
        ...

    async def tell(self, audience: str, payload: bytes, headers: dict[str, str]) -> None:
        """Send to whoever listens live; not stored. Raises: LogUnavailable."""
        ...

    async def answers(self) -> bool:
        """Whether anybody is there at all, be it without a log."""
        ...

    def on_acknowledged(self, told: Acknowledged | None) -> None:
        """From now on tell `told` of the fate of appends."""
        ...


class JetStreamLog:
    """The log as one stream that republishes what it stored."""

    def __init__(self, client: Line, settings: StreamHubSettings) -> None:
        self._client = client
        self._settings = settings
        self._inbox = client.new_inbox()
        self._reply = f"{self._inbox}.".encode()
        self._subjects = f"{APPEND_SUBJECTS}0."  # of the epoch that was prepared last
        self._prefix = self._subjects.encode()
        self._acks: Opened | None = None
        self._told: Acknowledged | None = None

    async def __aenter__(self) -> JetStreamLog:
        self._acks = await self._client.open_door(self._inbox + ".*", self._acknowledged)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._told = None
        if self._acks is not None and not self._client.is_closed:
            await self._acks.unsubscribe()

    @property
    def max_payload(self) -> int:
        return self._client.max_payload

    def on_acknowledged(self, told: Acknowledged | None) -> None:
        self._told = told

    async def prepare(self, epoch: int) -> LogState:
        wanted = self._config(epoch)
        try:
            answer = await self._ask(f"STREAM.INFO.{LOG_STREAM}")
        except LogMissing:
            answer = await self._ask(f"STREAM.CREATE.{LOG_STREAM}", wanted)
        found = answer["config"]
        if any(found.get(name) != value for name, value in wanted.items()):
            await self._ask(f"STREAM.UPDATE.{LOG_STREAM}", found | wanted)
            answer = await self._ask(f"STREAM.INFO.{LOG_STREAM}")
        self._subjects = f"{APPEND_SUBJECTS}{epoch}."
        self._prefix = self._subjects.encode()
        return _state(answer)

    async def delete(self) -> None:
        with suppress(LogMissing):
            await self._ask(f"STREAM.DELETE.{LOG_STREAM}")

    async def state(self) -> LogState:
        return _state(await self._ask(f"STREAM.INFO.{LOG_STREAM}"))

    async def read(self, first: int, last: int) -> list[Entry]:
        entries: list[Entry] = []
        while first <= last:
            found = await self._read_batch(first, min(_READ_BATCH, last - first + 1))
            if not found:
                # A replica that lags behind knows less than the stream's leader said.
                raise LogUnavailable(f"events {first} to {last} are not there yet")
            entries += [entry for entry in found if entry.sequence <= last]
            first = found[-1].sequence + 1
        return entries

    async def last_marker(self) -> Marker | None:
        request = {"last_by_subj": LOG_SUBJECTS + CONTROL}
        message = await self._request(f"DIRECT.GET.{LOG_STREAM}", request)
        headers = message.headers or {}
        return _entry(message).marker if Header.SEQUENCE in headers else None

    def append(self, number: int, audience: str, payload: bytes, headers: dict[str, str]) -> None:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        try:
            self._client.send(
                b"%b%b" % (self._prefix, audience.encode()),
                b"%b%d" % (self._reply, number),
                f"NATS/1.0\r\n{lines}\r\n".encode(),
                payload,
            )
        except Unavailable as error:
            raise LogUnavailable(error.reason) from error

    async def append_now(self, audience: str, payload: bytes, headers: dict[str, str]) -> int:
        try:
            answer = await self._client.request(
                self._subjects + audience,
                payload,
                timeout=self._settings.acknowledge_timeout,
                headers=headers,
            )
        except (nats.errors.Error, TimeoutError) as error:
            raise LogUnavailable(type(error).__name__) from error
        acknowledged = orjson.loads(answer.data) if answer.data else {}
        if "seq" in acknowledged and "error" not in acknowledged:
            return int(acknowledged["seq"])
        raise _refused(acknowledged.get("error"))

    async def tell(self, audience: str, payload: bytes, headers: dict[str, str]) -> None:
        try:
            await self._client.publish(LIVE_SUBJECTS + audience, payload, headers=headers)
        except nats.errors.Error as error:
            raise LogUnavailable(type(error).__name__) from error

    async def answers(self) -> bool:
        if not self._client.is_connected:
            return False
        try:
            await self._client.flush(timeout=_PING)
        except (nats.errors.Error, TimeoutError, OSError):
            return False
        return True

    def _acknowledged(self, subject: bytes, _: bytes, payload: bytes, __: bytes | None) -> None:
        if self._told is None:
            return
        number = int(subject[len(self._reply) :])
        answer = orjson.loads(payload) if payload else {}
        error = answer.get("error")
        if error is None and "seq" in answer:
            self._told(number, answer["seq"], "")
        elif error is not None and error.get("err_code") == _CONFLICT:
            self._told(number, None, "conflict")
        else:
            full = error is not None and error.get("err_code") in _NO_ROOM
            self._told(number, None, "storage" if full else "unavailable")

    async def _read_batch(self, first: int, count: int) -> list[Entry]:
        """Up to `count` events from `first` on; none when there are none."""
        inbox = self._client.new_inbox()
        request = orjson.dumps({"seq": first, "batch": count, "max_bytes": _READ_BYTES})
        found: list[Entry] = []
        last = 0
        try:
            subscription = await self._client.subscribe(inbox)
            try:
                await self._client.publish(f"{_API}DIRECT.GET.{LOG_STREAM}", request, reply=inbox)
                while True:
                    message = await subscription.next_msg(self._settings.log_api_timeout)
                    headers = message.headers or {}
                    if int(headers.get(_BEFORE, last)) != last:
                        raise LogUnavailable("an answer of the log arrived in part")
                    if Header.SEQUENCE not in headers:
                        return found  # the status that ends the batch, or says "not found"
                    found.append(_entry(message))
                    last = found[-1].sequence
            finally:
                await subscription.unsubscribe()
        except (nats.errors.Error, TimeoutError) as error:
            raise LogUnavailable(type(error).__name__) from error

    async def _ask(self, subject: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        message = await self._request(subject, body)
        answer: dict[str, Any] = orjson.loads(message.data) if message.data else {}
        error = answer.get("error")
        if error is None and answer:
            return answer
        if error is not None and error.get("err_code") == _NOT_FOUND:
            raise LogMissing
        raise _refused(error)

    async def _request(self, subject: str, body: Mapping[str, Any] | None) -> Msg:
        payload = orjson.dumps(body) if body is not None else b""
        timeout = self._settings.log_api_timeout
        try:
            return await self._client.request(_API + subject, payload, timeout=timeout)
        except (nats.errors.Error, TimeoutError, asyncio.InvalidStateError) as error:
            raise LogUnavailable(type(error).__name__) from error

    def _config(self, epoch: int) -> dict[str, Any]:
        accepted = f"{APPEND_SUBJECTS}{epoch}.>"
        return {
            "name": LOG_STREAM,
            "subjects": [accepted],
            "subject_transform": {"src": accepted, "dest": LOG_SUBJECTS + ">"},
            "retention": "limits",
            "discard": "old",
            "storage": "file",
            "max_age": round(self._settings.log_max_age * _NANOSECONDS),
            "max_bytes": self._settings.log_max_bytes,
            "num_replicas": self._settings.log_replicas,
            "duplicate_window": round(
                min(_DUPLICATE_WINDOW, self._settings.log_max_age) * _NANOSECONDS
            ),
            "allow_direct": True,
            "republish": {"src": LOG_SUBJECTS + ">", "dest": LIVE_SUBJECTS + ">"},
        }


def _state(answer: Mapping[str, Any]) -> LogState:
    state = answer["state"]
    last = int(state["last_seq"])
    first = int(state["first_seq"]) if state.get("messages") else last + 1
    return LogState(str(answer["created"]), first, last, _epoch_of(answer["config"]))


def _refused(error: Mapping[str, Any] | None) -> LogUnavailable:
    if error is None:
        return LogUnavailable("no answer")
    kind = LogFull if error.get("err_code") in _NO_ROOM else LogUnavailable
    return kind(str(error.get("description")))


def _epoch_of(config: Mapping[str, Any]) -> int:
    subject = str(*config.get("subjects", [])[:1])
    epoch = subject.removeprefix(APPEND_SUBJECTS).partition(".")[0]
    return int(epoch) if epoch.isdecimal() else 0


def _entry(message: Msg) -> Entry:
    headers = message.headers or {}
    audience = headers.get("Nats-Subject", "").removeprefix(LOG_SUBJECTS)
    epoch = headers.get(Header.EPOCH, "")
    return Entry(
        sequence=int(headers[Header.SEQUENCE]),
        audience=Audience(audience),
        epoch=int(epoch) if epoch.isdecimal() else -1,
        event_id=headers.get(Header.EVENT_ID, ""),
        marker=_marker(message.data) if audience == CONTROL else None,
    )


def _marker(payload: bytes) -> Marker | None:
    try:
        event = decode_control(payload)
    except ValidationError:
        return None
    return event if isinstance(event, Marker) else None
