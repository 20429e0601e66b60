"""Reading the event log by direct get: what came last, and what came behind a sequence.

Answers come in several messages on one shared inbox. Direct gets are answered by any replica
of the stream, which may lag behind its leader by a moment: "nothing there" is not a proof.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

import orjson
from nats.errors import Error as NatsError

from hubbub.bus.line import Line
from hubbub.contracts.event_log import LOG_STREAM, LOG_SUBJECTS, Audience, Header
from hubbub.errors import Unavailable
from services.ddp_streamer.audiences.event import BadEvent, Event, logged_event
from services.ddp_streamer.audiences.wire import Arrived, subscribe

MAX_BATCH = 256  # events per read
MAX_BATCH_BYTES = 1024 * 1024
MAX_SUBJECTS = 500  # audiences per question for their last events

_DIRECT_GET = f"$JS.API.DIRECT.GET.{LOG_STREAM}"
_INFO = f"$JS.API.STREAM.INFO.{LOG_STREAM}"
_PENDING = "Nats-Num-Pending"
_TIME = "Nats-Time-Stamp"
_LAST = "Nats-Last-Sequence"  # in an answer of several messages: sequence of the one before


class LogUnavailable(Unavailable):
    """The log did not answer, or there is none."""


@dataclass(frozen=True, slots=True)
class LogState:
    """What the log holds. Events before `first` are gone."""

    created: str
    """Moment of creation: another one means another log."""
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Top:
    """The last event of an audience."""

    sequence: int
    stored: float
    """When it was stored, seconds since 1970 of the server's clock."""


@dataclass(frozen=True, slots=True)
class Read:
    """Events of one audience, oldest first; `at_end`: the log has no more behind them."""

    events: list[Event]
    at_end: bool


@dataclass(slots=True)
class _Asked:
    answer: asyncio.Future[Arrived]  # the last message of the answer
    parts: list[Arrived] = field(default_factory=list)


class LogReader:
    """The event log of this NATS, read-only."""

    def __init__(self, client: Line, *, timeout: float = 2.0) -> None:
        self._client = client
        self._timeout = timeout
        self._inbox = client.new_inbox()
        self._asked: dict[str, _Asked] = {}
        self._numbers = count()

    async def open(self) -> None:
        """Listen for answers; once, before anything is asked."""
        await subscribe(self._client, self._inbox + ".*", self._on_answer)

    async def state(self) -> LogState:
        """First and last sequence. Raises: LogUnavailable."""
        try:
            reply = await self._client.request(_INFO, b"", timeout=self._timeout)
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"the event log does not answer: {error}") from None
        info = orjson.loads(reply.data)
        if "error" in info:
            raise LogUnavailable(f"no event log: {info['error'].get('description')}")
        state = info["state"]
        return LogState(info["created"], state["first_seq"], state["last_seq"])

    async def tops(self, audiences: Sequence[Audience]) -> dict[Audience, Top]:
        """The last event of each of at most 500 audiences; those without one are left out.

        Raises: LogUnavailable.
        """
        subjects = [LOG_SUBJECTS + audience for audience in audiences]
        parts, _ = await self._ask({"multi_last": subjects, "batch": len(subjects)})
        tops: dict[Audience, Top] = {}
        for part in parts:
            event = _event(part.headers, b"")
            stored = datetime.fromisoformat(part.headers[_TIME][:26].rstrip("Z") + "+00:00")
            tops[event.audience] = Top(event.sequence, stored.timestamp())
        return tops

    async def behind(self, audience: Audience, sequence: int) -> Read:
        """Events of `audience` behind `sequence`, a batch of them. Raises: LogUnavailable."""
        parts, pending = await self._ask(
            {
                "seq": sequence + 1,
                "next_by_subj": LOG_SUBJECTS + audience,
                "batch": MAX_BATCH,
                "max_bytes": MAX_BATCH_BYTES,
            }
        )
        return Read([_event(part.headers, part.payload) for part in parts], pending == 0)

    async def _ask(self, request: dict[str, object]) -> tuple[list[Arrived], int]:
        """The messages of an answer, and how many more there would be."""
        token = str(next(self._numbers))
        asked = _Asked(asyncio.get_running_loop().create_future())
        self._asked[token] = asked
        try:
            await self._client.publish(
                _DIRECT_GET, orjson.dumps(request), reply=f"{self._inbox}.{token}"
            )
            async with asyncio.timeout(self._timeout):
                end = await asked.answer
        except (NatsError, TimeoutError) as error:
            raise LogUnavailable(f"the event log does not answer: {error}") from None
        finally:
            del self._asked[token]
        if end.status == "204":
            _check_whole(asked.parts, int(end.headers.get(_LAST, "0")))
            return asked.parts, int(end.headers.get(_PENDING, "0"))
        if end.status == "404":
            return [], 0
        raise LogUnavailable(f"the event log answers {end.status}")

    def _on_answer(self, message: Arrived) -> None:
        asked = self._asked.get(message.subject.rpartition(".")[2])
        if asked is None:
            return  # nobody waits any more
        if message.status:
            if not asked.answer.done():
                asked.answer.set_result(message)
        else:
            asked.parts.append(message)


def _event(headers: Mapping[str, str], payload: bytes) -> Event:
    """Raises: LogUnavailable: it is no event that this version knows. Whoever needs it is told
    after a while that it cannot be had."""
    try:
        return logged_event(headers, payload)
    except BadEvent as error:
        raise LogUnavailable(f"the event log holds what is no event: {error}") from None


def _check_whole(parts: list[Arrived], last: int) -> None:
    """Raises: LogUnavailable: the connection was cut while the answer was on its way."""
    before = 0
    for part in parts:
        if int(part.headers.get(_LAST, "0")) != before:
            break
        before = int(part.headers.get(Header.SEQUENCE, "0"))
    if before != last:
        raise LogUnavailable("an answer of the event log arrived in part")
