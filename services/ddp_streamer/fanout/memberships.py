"""Memberships of the users here, for what follows all rooms of a user.

Read once when the first subscription needs them, then kept by the control events of the log:
a beginning in the user's audience, an end in the room's own audience, where nothing can
overtake it. Each membership holds its room's audience.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from hubbub.contracts.event_log import Audience, MembershipBegan, room_audience, user_audience
from hubbub.contracts.messaging import Messaging
from hubbub.errors import Timeout, Unavailable
from hubbub.ids import UserId
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.fanout.people import People, Person, Place
from services.ddp_streamer.fanout.queue import WorkQueue
from services.ddp_streamer.fanout.recipients import membership_end, tells_missing
from services.ddp_streamer.tasks import Tasks

_PATIENCE = 15.0  # seconds for the first moments of a new membership
_PAUSE = 0.3


class Following(Protocol):
    """What memberships and subscriptions need of `Audiences`."""

    def acquire_now(self, audience: Audience) -> bool: ...
    async def acquire(self, audiences: Iterable[Audience], *, timeout: float = 10.0) -> None: ...
    def release(self, audience: Audience) -> None: ...
    def position(self, audience: Audience) -> int: ...
    async def read(self, audience: Audience, after: int, upto: int) -> list[Event]: ...


class Memberships:
    """Keeps `Person.places` and who is in which room."""

    def __init__(
        self,
        messaging: Messaging,
        audiences: Following,
        people: People,
        queue: WorkQueue,
        *,
        deliver: Callable[[Person, Event], None],
        tasks: Tasks,
    ) -> None:
        self._messaging = messaging
        self._audiences = audiences
        self._people = people
        self._queue = queue
        self._deliver = deliver
        self._tasks = tasks
        self._reading: dict[Person, asyncio.Task[None]] = {}

    async def want(self, person: Person) -> None:
        """A subscription needs the memberships; returns when all their rooms are routed.

        Every call that returns is followed by one `unwant`.

        Raises: Unavailable, Timeout: they cannot be read, or rooms cannot be routed now.
        """
        person.wants += 1
        try:
            while person.places is None:
                reading = self._reading.get(person)
                if reading is None:
                    reading = asyncio.create_task(self._read(person), name="memberships")
                    reading.add_done_callback(_retrieve)
                    self._reading[person] = reading
                # Others may wait for the same reading: only they know when they give up.
                await asyncio.shield(reading)
        except BaseException:
            self.unwant(person)
            raise

    def unwant(self, person: Person) -> None:
        """A subscription that needed the memberships has ended."""
        person.wants -= 1
        if person.wants <= 0:
            self._forget(person)

    def began(self, event: MembershipBegan, sequence: int) -> None:
        """In the user's audience, at `sequence`."""
        person = self._people.get(event.user_id)
        if person is None:
            return
        place = Place(event.room_id, event.room_type, event.room_name, sequence)
        if person.journal is not None:
            person.journal.append((event.room_id, place))
        elif person.places is not None:
            self._begin(person, person.places, place)

    def ended(self, user_id: str, room_id: str, sequence: int) -> None:
        """In the room's audience; or in the user's, which is heard while places are read."""
        person = self._people.get(user_id)
        if person is None:
            return
        if person.journal is not None:
            person.journal.append((room_id, None))
        elif person.places is not None:
            place = person.places.get(room_id)
            if place is not None and place.since < sequence:
                del person.places[room_id]
                self._leave(person, place)

    async def close(self) -> None:
        """End what is being read."""
        for reading in list(self._reading.values()):
            reading.cancel()
        if self._reading:
            await asyncio.wait(self._reading.values())

    async def _read(self, person: Person) -> None:
        journal: list[tuple[str, Place | None]] = []
        person.journal = journal
        taken: list[Audience] = []
        try:
            since = self._audiences.position(user_audience(person.user_id))
            found = await self._messaging.memberships_of(UserId(person.user_id))
            rooms = [room_audience(membership.room_id) for membership in found]
            await self._audiences.acquire(rooms)
            taken = rooms
            places: dict[str, Place] = {
                membership.room_id: Place(
                    membership.room_id, membership.room_type, membership.room_name, since
                )
                for membership in found
            }
            for place in places.values():
                place.taken = True
            if person.wants > 0:
                person.places, person.journal, taken = places, None, []
                self._settle(person, places, journal)
        finally:
            if person.journal is journal:
                person.journal = None
            for audience in taken:
                self._audiences.release(audience)
            del self._reading[person]

    def _settle(
        self, person: Person, places: dict[str, Place], journal: list[tuple[str, Place | None]]
    ) -> None:
        """Let the places begin, then apply what happened while they were read."""
        for place in places.values():
            self._people.expect(person, place.room_id)
            self._queue.call(partial(self._put_in, person, place))
        for room_id, begun in journal:
            before = places.get(room_id)
            if begun is not None:
                self._begin(person, places, begun)
            elif before is not None:
                del places[room_id]
                self._leave(person, before)

    def _begin(self, person: Person, places: dict[str, Place], place: Place) -> None:
        known = places.get(place.room_id)
        if known is not None:
            known.since = max(known.since, place.since)
            return
        places[place.room_id] = place
        self._people.expect(person, place.room_id)
        self._tasks.spawn(self._following(person, place), "membership")

    async def _following(self, person: Person, place: Place) -> None:
        try:
            await self._follow(person, place)
        except Exception:
            _lose(person, place)  # else it would never hear the room
            raise

    async def _follow(self, person: Person, place: Place) -> None:
        """Take the room from the membership's beginning on: first what the log has since then."""
        audience = room_audience(place.room_id)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE
        after = place.since
        while self._holds(person, place):
            try:
                if not place.taken:
                    await self._audiences.acquire([audience])
                    place.taken = True
                position = self._audiences.position(audience)
                if after >= position:
                    break
                events = await self._audiences.read(audience, after, position)
            except (Unavailable, Timeout):
                if loop.time() > deadline:
                    _lose(person, place)
                    break
                await asyncio.sleep(_PAUSE)
                continue
            for event in events:
                ended = membership_end(event)
                if ended is not None and ended.user_id == person.user_id:
                    self.ended(ended.user_id, ended.room_id, event.sequence)
                elif tells_missing(event) and self._holds(person, place):
                    _lose(person, place)
                elif self._holds(person, place):
                    self._deliver(person, event)
            after = position
        if self._holds(person, place):
            # Behind what already waits for delivery: the log has given that to this member.
            self._queue.call(partial(self._put_in, person, place))
        elif place.taken:
            place.taken = False
            self._audiences.release(audience)

    def _holds(self, person: Person, place: Place) -> bool:
        return person.places is not None and person.places.get(place.room_id) is place

    def _put_in(self, person: Person, place: Place) -> None:
        if self._holds(person, place):
            self._people.put_in(person, place.room_id)

    def _leave(self, person: Person, place: Place) -> None:
        self._people.take_out(person, place.room_id)
        if place.taken:
            place.taken = False
            self._audiences.release(room_audience(place.room_id))

    def _forget(self, person: Person) -> None:
        places, person.places = person.places, None
        for place in (places or {}).values():
            self._leave(person, place)


def _lose(person: Person, place: Place) -> None:
    """Something that the room had for this member is missing for good."""
    for session in list(person.sessions):
        session.end_lost(place.room_id)


def _retrieve(reading: asyncio.Task[None]) -> None:
    """Its failure is for those who wait; when all of them have gone it is nobody's."""
    if not reading.cancelled():
        reading.exception()
