"""The users who are signed in on this streamer, and the rooms they are in as far as known."""

from __future__ import annotations

from collections.abc import Iterator

from services.ddp_streamer.fanout.recipients import Listening
from services.ddp_streamer.fanout.topics import Listeners


class Place:
    """A user's membership in a room, from a place in the log on."""

    __slots__ = ("name", "room_id", "since", "taken", "type")

    def __init__(self, room_id: str, room_type: str, name: str | None, since: int) -> None:
        self.room_id = room_id
        self.type = room_type
        self.name = name
        self.since = since  # sequence; what the log has behind it is for this member
        self.taken = False  # the room's audience is held for it


class Person:
    """One user with at least one signed-in socket here."""

    __slots__ = ("journal", "my_messages", "places", "sessions", "user_id", "wants")

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.sessions: dict[Listening, None] = {}
        self.my_messages: Listeners = {}
        """Sockets that want the messages of all rooms."""
        self.places: dict[str, Place] | None = None
        """By room id; None while nobody needs it or it is being read."""
        self.journal: list[tuple[str, Place | None]] | None = None
        """What changed while `places` is being read: (room id, new place or None)."""
        self.wants = 0
        """Subscriptions that need `places`."""


class People:
    """All persons by user id, and who of them is in which room."""

    def __init__(self) -> None:
        self._persons: dict[str, Person] = {}
        self._in_room: dict[str, dict[Person, None]] = {}
        self._expected: dict[str, dict[Person, None]] = {}

    def __len__(self) -> int:
        return len(self._persons)

    def __iter__(self) -> Iterator[Person]:
        return iter(list(self._persons.values()))

    def get(self, user_id: str) -> Person | None:
        """The person, if signed in here."""
        return self._persons.get(user_id)

    def enter(self, user_id: str, session: Listening) -> Person:
        """A socket signed in."""
        person = self._persons.get(user_id)
        if person is None:
            person = self._persons[user_id] = Person(user_id)
        person.sessions[session] = None
        return person

    def leave(self, person: Person, session: Listening) -> bool:
        """A socket signed out or closed. Whether it was the last one of this user."""
        person.sessions.pop(session, None)
        if person.sessions:
            return False
        if self._persons.get(person.user_id) is person:
            del self._persons[person.user_id]
        return True

    def expect(self, person: Person, room_id: str) -> None:
        """`person` is given what the room has had so far, and will be put in behind that."""
        self._expected.setdefault(room_id, {})[person] = None

    def put_in(self, person: Person, room_id: str) -> None:
        """From now on `person` gets what members of the room get."""
        _remove(self._expected, person, room_id)
        self._in_room.setdefault(room_id, {})[person] = None

    def take_out(self, person: Person, room_id: str) -> None:
        """From now on `person` gets nothing of the room."""
        _remove(self._expected, person, room_id)
        _remove(self._in_room, person, room_id)

    def in_room(self, room_id: str) -> dict[Person, None]:
        """The persons who get what members of the room get; not to be changed."""
        return self._in_room.get(room_id, {})

    def expected(self, room_id: str) -> dict[Person, None]:
        """The persons who are about to be put in; not to be changed."""
        return self._expected.get(room_id, {})


def _remove(by_room: dict[str, dict[Person, None]], person: Person, room_id: str) -> None:
    persons = by_room.get(room_id)
    if persons is not None:
        persons.pop(person, None)
        if not persons:
            del by_room[room_id]
