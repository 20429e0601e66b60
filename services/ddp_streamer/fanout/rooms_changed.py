"""`rooms-changed` for the members of a room, at most twice a second per room.

The first change goes out at once; of those within the next half second the last one wins. The
frames name their receivers, so each user gets an own prefix in front of shared arguments.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

from hubbub.ddp.stream import STREAM_SUFFIX, stream_prefix
from services.ddp_streamer.fanout.people import People, Person
from services.ddp_streamer.fanout.topics import Topics
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.tally import Tally

PAUSE = 0.5  # seconds


def send_to(person: Person, topics: Topics, key: str, args: bytes) -> int:
    """Give `args` to this user's sockets that listen to `<uid>/<key>`; how many got them."""
    topic = ("notify-user", f"{person.user_id}/{key}")
    listeners = topics.listeners(topic)
    if not listeners:
        return 0
    # Not kept in the cache of prefixes: there are as many as users.
    prefix = stream_prefix.__wrapped__(*topic)
    frame = SharedFrame(prefix + args + STREAM_SUFFIX)
    return sum(recipient.send_shared(frame) for recipient in list(listeners))


class RoomsChanged:
    """Coalesces the changes of each room."""

    def __init__(
        self,
        people: People,
        topics: Topics,
        *,
        add_work: Callable[[Iterator[None]], None],
        tally: Tally,
        pause: float = PAUSE,
    ) -> None:
        self._people = people
        self._topics = topics
        self._add_work = add_work
        self._tally = tally
        self._pause = pause
        self._pending: dict[str, bytes | None] = {}  # room id → args that wait

    def deliver(self, room_id: str, args: bytes) -> Iterator[None]:
        """Work: tell a change now, or soon when one was told just now."""
        if room_id in self._pending:
            self._pending[room_id] = args
            return
        if not self._people.in_room(room_id):
            return
        self._pending[room_id] = None
        asyncio.get_running_loop().call_later(self._pause, self._after_pause, room_id)
        yield from self._tell(room_id, args)

    def _after_pause(self, room_id: str) -> None:
        args = self._pending.pop(room_id)
        if args is not None:
            self._add_work(self.deliver(room_id, args))

    def _tell(self, room_id: str, args: bytes) -> Iterator[None]:
        """To those who are members at this moment, whoever was when the change was made."""
        for person in list(self._people.in_room(room_id)):
            sent = send_to(person, self._topics, "rooms-changed", args)
            self._tally.delivered["notify-user"] += sent
            yield
