"""`__my_messages__`: the messages of all rooms that a user may read, on one subscription.

Rooms the user is in come by their own audiences. Public rooms the user is not in come by the
wildcard: each pair of user and room is asked about once, and messages wait for that answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

import orjson

from hubbub.contracts.event_log import Header
from hubbub.ddp.stream import STREAM_SUFFIX, args_of, stream_prefix
from hubbub.errors import Timeout, Unavailable
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.fanout.people import People, Person
from services.ddp_streamer.fanout.recipients import MY_MESSAGES
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.tally import Tally
from services.ddp_streamer.tasks import Tasks

_MAX_WAITING = 1_000  # messages of one user and room that wait for an answer
_PUBLIC = "c"


def my_message(event: Event, *, participant: bool) -> SharedFrame:
    """The frame of a room message for those who follow all their rooms.

    The message itself is shared; behind it stands what is true for this receiver.
    Raises: ValueError: the payload is no frame of `room-messages`.
    """
    args = args_of(event.payload, event.stream, event.key)
    about: dict[str, object] = {
        "roomParticipant": participant,
        "roomType": event.headers.get(Header.ROOM_TYPE, ""),
    }
    name = event.room_name
    if name is not None:
        about["roomName"] = name
    spliced = args[:-1] + b"," + orjson.dumps(about) + b"]"
    return SharedFrame(stream_prefix(*MY_MESSAGES) + spliced + STREAM_SUFFIX)


class PublicRooms:
    """Messages of public rooms for users who are not in them."""

    def __init__(
        self,
        people: People,
        *,
        known: Callable[[str, str], bool | None],
        learn: Callable[[str, str], Awaitable[bool]],
        tasks: Tasks,
        tally: Tally,
    ) -> None:
        self._people = people
        self._known = known
        self._learn = learn
        self._tasks = tasks
        self._tally = tally
        self._readers: dict[Person, None] = {}
        self._waiting: dict[tuple[Person, str], list[SharedFrame]] = {}

    def add(self, person: Person) -> None:
        """`person` follows all rooms."""
        self._readers[person] = None

    def remove(self, person: Person) -> None:
        """`person` follows them no longer."""
        self._readers.pop(person, None)

    def deliver(self, event: Event) -> Iterator[None]:
        """Work: give a message that came by the wildcard to those who are not in its room."""
        if event.headers.get(Header.ROOM_TYPE) != _PUBLIC or not self._readers:
            return
        room_id = event.key
        inside = self._people.in_room(room_id)
        frame: SharedFrame | None = None
        for person in list(self._readers):
            if person in inside or (person.places is not None and room_id in person.places):
                continue
            waiting = self._waiting.get((person, room_id))
            allowed = None if waiting is not None else self._known(person.user_id, room_id)
            if allowed is False:
                self._tally.filtered["no_permission"] += 1
                continue
            frame = frame or my_message(event, participant=False)
            if allowed:
                self._send(person, frame)
            else:
                self._wait(person, room_id, frame)
            yield

    def _wait(self, person: Person, room_id: str, frame: SharedFrame) -> None:
        pair = (person, room_id)
        waiting = self._waiting.get(pair)
        if waiting is None:
            self._waiting[pair] = [frame]
            self._tasks.spawn(self._ask(person, room_id), "public-room")
        elif len(waiting) < _MAX_WAITING:
            waiting.append(frame)
        else:
            _lose(person)

    async def _ask(self, person: Person, room_id: str) -> None:
        try:
            allowed = await self._learn(person.user_id, room_id)
        except (Unavailable, Timeout):
            self._waiting.pop((person, room_id), None)
            _lose(person)
            return
        except BaseException:
            self._waiting.pop((person, room_id), None)
            raise
        frames = self._waiting.pop((person, room_id))
        if not allowed:
            self._tally.filtered["no_permission"] += len(frames)
        elif person not in self._readers:
            self._tally.filtered["unsubscribed"] += len(frames)
        else:
            for frame in frames:
                self._send(person, frame)

    def _send(self, person: Person, frame: SharedFrame) -> None:
        sent = sum(recipient.send_shared(frame) for recipient in list(person.my_messages))
        self._tally.delivered["room-messages"] += sent


def _lose(person: Person) -> None:
    for session in list(person.my_messages.values()):
        session.end_lost()
