"""Where audiences are in the log, told to clients and taken back from them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hubbub.clock import Clock
from hubbub.contracts.event_log import Audience
from services.ddp_streamer.audiences.chain import Chain
from services.ddp_streamer.audiences.continuity import Continuity
from services.ddp_streamer.audiences.event import Event
from services.ddp_streamer.audiences.interest import Interest, Interests
from services.ddp_streamer.audiences.log import LogReader, LogUnavailable
from services.ddp_streamer.audiences.replay import Limits, Replay, SharedReads, Unrecoverable
from services.ddp_streamer.positions import Position
from services.ddp_streamer.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an audience was at one moment."""

    _interest: Interest
    _chain: Chain[Event]
    position: Position
    """Of one who has had everything so far."""
    after_fetching: Position
    """Of one who fetches what was stored until now: the log's end, as far as it is known."""

    @property
    def holds(self) -> bool:
        """Nothing was lost since then."""
        return self._interest.chain is self._chain and self._interest.is_open


class Places:
    """The positions of all audiences that are followed."""

    def __init__(
        self,
        interests: Interests,
        continuity: Continuity,
        reader: LogReader,
        *,
        tasks: Tasks,
        clock: Clock,
    ) -> None:
        self._interests = interests
        self._continuity = continuity
        self._reads = SharedReads(reader, tasks=tasks)
        self._clock = clock

    def standing(self, audience: Audience) -> Standing | None:
        """Where `audience` is now; None when it is not routed."""
        interest = self._interests.get(audience)
        if interest is None or not interest.is_open:
            return None
        leaders = self._continuity.leaders
        # What the log does not have was stored before: whoever begins here fetches it.
        last = max(interest.chain.last, interest.valid_from, leaders.valid_from)
        epoch = leaders.log_epoch or ""
        fetched = Position(epoch, max(last, self._continuity.known_last))
        return Standing(interest, interest.chain, Position(epoch, last), fetched)

    def proven(self) -> Position | None:
        """Everything up to here has been handed over, of every audience; None: unknown now."""
        proven, epoch = self._continuity.proven, self._continuity.leaders.log_epoch
        return Position(epoch, proven) if proven and epoch is not None else None

    async def replay(
        self,
        audience: Audience,
        since: Position,
        *,
        wanted: Callable[[Event], bool],
        limits: Limits,
    ) -> Replay:
        """What came behind `since` in an audience that is held; not read yet.

        Raises:
            Unrecoverable: the position is of another log or from before a loss, or the audience
                is not routed now.
        """
        try:
            epoch, created = await self._continuity.known_log()
        except LogUnavailable:
            raise Unrecoverable("failed") from None
        leaders = self._continuity.leaders
        if since.epoch != epoch or since.sequence < leaders.valid_from:
            raise Unrecoverable("epoch_changed")
        interest = self._interests.get(audience)
        if interest is None or not interest.is_open or since.sequence < interest.valid_from:
            raise Unrecoverable("failed")
        return Replay(
            self._reads,
            interest,
            since.sequence,
            created=created,
            wanted=lambda event: leaders.counts(event) and wanted(event),
            limits=limits,
            clock=self._clock,
        )
