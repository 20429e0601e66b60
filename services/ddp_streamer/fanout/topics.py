"""Who listens to what: sets of sessions by stream and event name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from sys import intern

from services.ddp_streamer.fanout.recipients import Listening, Recipient, Topic, room_of_topic

Listeners = dict[Recipient, Listening]
"""Connections in the order in which they began to listen. One entry per socket, however many
subscriptions of it want the same."""

_NOBODY: Listeners = {}


class Topics:
    """The listeners of every topic, and the topics of every room."""

    def __init__(self) -> None:
        self._listeners: dict[Topic, Listeners] = {}
        self._by_room: dict[str, set[Topic]] = {}
        self._aside: dict[str, Counter[Listening]] = {}

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, topic: Topic, session: Listening) -> None:
        """`session` listens from now on. Repeating it changes nothing."""
        listeners = self._listeners.get(topic)
        if listeners is None:
            topic = (intern(topic[0]), intern(topic[1]))
            listeners = self._listeners[topic] = {}
            room_id = room_of_topic(topic)
            if room_id is not None:
                self._by_room.setdefault(room_id, set()).add(topic)
        listeners[session.recipient] = session

    def remove(self, topic: Topic, session: Listening) -> None:
        """`session` listens no longer. It need not have listened."""
        listeners = self._listeners.get(topic)
        if listeners is None or listeners.pop(session.recipient, None) is None or listeners:
            return
        del self._listeners[topic]
        room_id = room_of_topic(topic)
        if room_id is not None:
            topics = self._by_room[room_id]
            topics.discard(topic)
            if not topics:
                del self._by_room[room_id]

    def listeners(self, topic: Topic) -> Listeners:
        """Who listens to `topic`; not to be changed."""
        return self._listeners.get(topic, _NOBODY)

    def of_room(self, room_id: str) -> list[tuple[Topic, Listening]]:
        """Every pair of a topic of this room and a session that listens to it."""
        return [
            (topic, session)
            for topic in self._by_room.get(room_id, ())
            for session in self._listeners[topic].values()
        ]

    def set_aside(self, room_id: str) -> list[tuple[Topic, Listening]]:
        """Nobody hears this room any more; who did. Each session is `aside` until `end_aside`."""
        removed = self.of_room(room_id)
        for topic, session in removed:
            self.remove(topic, session)
        if removed:
            aside = self._aside.setdefault(room_id, Counter())
            aside.update({session for _, session in removed})
        return removed

    def end_aside(self, room_id: str, sessions: Iterable[Listening]) -> None:
        """These hear the room again or never will; once for each `set_aside`."""
        aside = self._aside[room_id]
        aside.subtract(sessions)
        self._aside[room_id] = aside = +aside
        if not aside:
            del self._aside[room_id]

    def aside(self, room_id: str) -> list[Listening]:
        """The sessions that are to hear this room again, if they may."""
        return list(self._aside.get(room_id, ()))

    def of_streams(self, streams: frozenset[str]) -> set[Listening]:
        """The sessions that listen to anything of `streams`."""
        return {
            session
            for (stream, _), listeners in self._listeners.items()
            if stream in streams
            for session in listeners.values()
        }
