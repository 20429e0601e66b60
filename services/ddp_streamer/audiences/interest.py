"""Which audiences this streamer follows, and for how many listeners."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final, Protocol

from hubbub.bus.line import Opened
from hubbub.contracts.event_log import CONTROL, Audience
from services.ddp_streamer.audiences.chain import Chain
from services.ddp_streamer.audiences.event import Event

ALL_ROOMS: Final = Audience("room.*")
"""Every room's audience at once, for those who may read public rooms they are not in."""


class Receiver(Protocol):
    """Who gets the events: in order and once per audience."""

    def on_event(self, event: Event, *, wildcard: bool) -> None:
        """An event of the log. `wildcard`: it came by `ALL_ROOMS`, and perhaps also alone."""
        ...

    def on_ephemeral(self, event: Event) -> None:
        """An event that was never stored."""
        ...

    def on_opened(self, audience: Audience) -> None:
        """From now on events of `audience` come; what was known of it before may be outdated."""
        ...

    def on_lost(self, audience: Audience) -> None:
        """Events of `audience` are missing for good: those who listen have to be told."""
        ...

    @property
    def full(self) -> bool:
        """No more events should be handed over now; what comes live is fetched again later."""
        ...

    async def wait_for_room(self) -> None:
        """Return when not `full`."""
        ...


class Interest:
    """One audience that is followed, or about to be."""

    __slots__ = (
        "audience",
        "chain",
        "changed_at",
        "idle_since",
        "opened",
        "references",
        "repair",
        "subscription",
        "valid_from",
    )

    def __init__(self, audience: Audience) -> None:
        self.audience = audience
        self.references = 0
        self.idle_since = 0.0  # monotonic seconds, when references is 0
        self.subscription: Opened | None = None
        self.repair: asyncio.Task[None] | None = None
        self.valid_from = 0
        """Up to here events are missing that the log does not have: clients have to fetch them."""
        self.reset()

    def reset(self) -> None:
        """Begin anew: nothing is known of the audience's place in the log."""
        self.chain: Chain[Event] = Chain(linked=self.audience != ALL_ROOMS)
        self.changed_at = 0.0  # seconds since 1970: the last event before it was opened
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_open(self) -> bool:
        """Routed, and its place in the log is known."""
        return self.opened.done()

    @property
    def permanent(self) -> bool:
        """Held as long as the streamer lives."""
        return self.audience == CONTROL


class Interests:
    """All audiences that are followed, by name."""

    def __init__(self) -> None:
        self._by_audience: dict[Audience, Interest] = {}

    def __len__(self) -> int:
        return len(self._by_audience)

    def __iter__(self) -> Iterator[Interest]:
        return iter(list(self._by_audience.values()))

    def __contains__(self, interest: Interest) -> bool:
        return self._by_audience.get(interest.audience) is interest

    def get(self, audience: Audience) -> Interest | None:
        """The interest in `audience`, if there is one."""
        return self._by_audience.get(audience)

    def add(self, audience: Audience) -> Interest:
        """A new interest."""
        interest = self._by_audience[audience] = Interest(audience)
        return interest

    def idle(self, before: float) -> list[Interest]:
        """Those without a listener since `before` (monotonic seconds)."""
        return [
            interest
            for interest in self._by_audience.values()
            if interest.references == 0 and interest.idle_since <= before and not interest.permanent
        ]

    def remove(self, interest: Interest) -> None:
        """Follow it no longer."""
        self._by_audience.pop(interest.audience, None)
