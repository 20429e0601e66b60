"""Subs of clients that say where they were: what they missed comes first, then `ready`.

The moment in which such a sub is opened lies in its room's own order: behind everything that had
passed here when the log was read to its end, ahead of everything that comes later. So a client
gets each event once, from the log or live, and its position is exact.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from hubbub.clock import Clock, SystemClock
from hubbub.contracts.event_log import Audience, Kind
from services.ddp_streamer.audiences import Event, Limits, Places, Replay, Standing, Unrecoverable
from services.ddp_streamer.fanout import Topic, membership_end, tells_missing
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.positions import (
    Allowance,
    Missed,
    Position,
    Since,
    position_frame,
)

_TELL: Final = 30.0  # seconds between two frames that say where all rooms are
_BETWEEN_PAUSES: Final = 63  # sockets between two points where others may run, less one


@dataclass(frozen=True, slots=True)
class Arrival:
    """A sub may be opened: with what its client missed, or without."""

    position: Position
    """Of the room in this moment."""
    missed: Missed | None
    """Why the client has to fetch what it missed; None: `events` are all of it."""
    events: list[Event] = field(default_factory=list)


class Follows(Protocol):
    """What recovery needs of `Audiences`."""

    @property
    def places(self) -> Places: ...
    async def acquire(self, audiences: Iterable[Audience], *, timeout: float = 10.0) -> None: ...
    def release(self, audience: Audience) -> None: ...


class Ordered(Protocol):
    """What recovery needs of `Fanout`."""

    def when_delivered(self, function: Callable[[], None]) -> None: ...
    def in_turn(self, work: Iterator[None]) -> None: ...


class Positioned(Protocol):
    """A connection that may have asked for positions."""

    positioned: bool

    def send_shared(self, frame: SharedFrame) -> bool: ...


class HasPosition(Protocol):
    """A session, when all are told where they are."""

    @property
    def connection(self) -> Positioned: ...


class Recovery:
    """Opens the subs that say where their clients were."""

    def __init__(self, follows: Follows, ordered: Ordered, *, clock: Clock | None = None) -> None:
        self._follows = follows
        self._ordered = ordered
        self._clock = clock or SystemClock()

    async def arrive(
        self,
        audience: Audience,
        topic: Topic,
        since: Since,
        allowance: Allowance,
        *,
        user_id: str | None,
        decide: Callable[[], Awaitable[None]],
        enter: Callable[[Arrival], bool],
    ) -> None:
        """Read what was missed, then call `enter` at its place among the room's events.

        Args:
            audience: is held by the caller, until this returns at least.
            decide: returns when the user is known to be allowed to listen. Raises: NotAllowed.
            enter: opens the sub, or finds that nobody wants it any more, and returns True;
                False: whether the user may listen has to be asked anew.

        Raises: what `decide` and `enter` raise; Unavailable: the room cannot be routed now.
        """
        missed: Missed | None = None
        replay: Replay | None = None
        if since.position is None:
            missed = "not_asked"
        else:
            try:
                replay = await self._begin(audience, topic, since.position, allowance, user_id)
            except Unrecoverable as reason:
                missed = reason.why
        while True:
            await decide()
            if replay is not None:
                try:
                    await replay.catch_up()
                except Unrecoverable as reason:
                    missed, replay = reason.why, None
            # Nothing may be waited for between the log's end and the place in the queue.
            standing = self._follows.places.standing(audience)
            if standing is None:
                await self._follows.acquire([audience])
                self._follows.release(audience)
            elif await self._at_its_place(standing, _arrival(standing, missed, replay), enter):
                return

    async def _begin(
        self,
        audience: Audience,
        topic: Topic,
        since: Position,
        allowance: Allowance,
        user_id: str | None,
    ) -> Replay:
        """Raises: Unrecoverable."""

        def is_wanted(event: Event) -> bool:
            ended = membership_end(event)
            if ended is not None and user_id is not None and ended.user_id == user_id:
                # Back in the room, perhaps: what was said meanwhile is for the database to judge.
                raise Unrecoverable("failed")
            if tells_missing(event):
                raise Unrecoverable("failed")
            return event.kind is Kind.FRAME and (event.stream, event.key) == topic

        frames, size = allowance.of(audience, self._clock.monotonic())
        limits = Limits(frames, size)
        return await self._follows.places.replay(audience, since, wanted=is_wanted, limits=limits)

    async def _at_its_place(
        self, standing: Standing, arrival: Arrival, enter: Callable[[Arrival], bool]
    ) -> bool:
        entered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def here() -> None:
            if entered.done():
                return  # nobody waits any more
            try:
                entered.set_result(standing.holds and enter(arrival))
            except Exception as error:
                entered.set_exception(error)

        self._ordered.when_delivered(here)
        return await entered

    # --- telling ------------------------------------------------------------------------------

    async def keep_telling(self, tell: Callable[[], None]) -> None:
        """Call `tell` now and then, until cancelled.

        Without it the position of a quiet room would grow too old to go on from.
        """
        while True:
            await self._clock.sleep(_TELL)
            tell()

    def tell(self, sessions: Collection[HasPosition], *, unless: Callable[[], bool]) -> None:
        """Tell clients where all their rooms are, behind what waits for delivery; nothing, while
        that is not proven.

        Args:
            unless: some of them have not got all that was delivered. Asked when it is their
                turn, too: what waits may come to be withheld.
        """
        proven = self._follows.places.proven()
        if proven is not None and not unless():
            self._ordered.in_turn(_telling(proven, sessions, unless))


def _arrival(standing: Standing, missed: Missed | None, replay: Replay | None) -> Arrival:
    if replay is None:
        return Arrival(standing.after_fetching, missed)
    position = standing.position
    # A client may have heard that it is further than the room's last event.
    sequence = max(position.sequence, replay.reached)
    return Arrival(Position(position.epoch, sequence), missed, replay.events)


def _telling(
    position: Position, sessions: Collection[HasPosition], unless: Callable[[], bool]
) -> Iterator[None]:
    if unless():
        return
    frame = SharedFrame(position_frame(position), droppable=True, key="position")
    for index, session in enumerate(list(sessions)):
        if session.connection.positioned:
            session.connection.send_shared(frame)
        if index & _BETWEEN_PAUSES == _BETWEEN_PAUSES:
            yield
