"""Which sockets watch whose presence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import orjson

from hubbub.contracts.event_log import Header
from hubbub.ddp.stream import stream_frame
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.fanout.recipients import Recipient, Topic
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.tally import Tally

USER_STATUS: Final[Topic] = ("notify-logged", "user-status")
"""The old way to be told of everybody's presence: every change goes to every socket."""

RECENT = 30.0  # seconds
_MAX_RECENT = 50_000  # users
_MAX_PUT_OFF = 50_000  # users


class PresenceWatch:
    """The watched users of every socket.

    What changed in the last half minute is remembered: a client asks REST for the present state
    and then watches, and must not miss a change between the two.
    """

    def __init__(
        self, *, now: Callable[[], float], max_watched: int, tally: Tally | None = None
    ) -> None:
        self._now = now
        self._tally = tally or Tally()
        self._max_watched = max_watched
        self._watchers: dict[str, dict[Recipient, None]] = {}
        self._watched: dict[Recipient, set[str]] = {}
        self._recent: dict[str, tuple[float, SharedFrame]] = {}  # oldest first
        self._put_off: dict[str, Event] = {}  # oldest first

    def __len__(self) -> int:
        return len(self._watched)

    def watch(self, recipient: Recipient, user_ids: Iterable[str]) -> None:
        """`recipient` watches these too; over the limit further ones are ignored."""
        watched = self._watched.setdefault(recipient, set())
        oldest = self._now() - RECENT
        for user_id in user_ids:
            if user_id in watched:
                continue
            if len(watched) >= self._max_watched:
                break
            watched.add(user_id)
            self._watchers.setdefault(user_id, {})[recipient] = None
            changed_at, frame = self._recent.get(user_id, (0.0, None))
            if frame is not None and changed_at >= oldest:
                self._tally.delivered["user-presence"] += recipient.send_shared(frame)

    def unwatch(self, recipient: Recipient, user_ids: Iterable[str]) -> None:
        """`recipient` watches these no longer."""
        watched = self._watched.get(recipient)
        for user_id in user_ids:
            if watched is not None and user_id in watched:
                watched.discard(user_id)
                self._drop(recipient, user_id)

    def forget(self, recipient: Recipient) -> None:
        """`recipient` watches nobody any more."""
        for user_id in self._watched.pop(recipient, ()):
            self._drop(recipient, user_id)

    def deliver(self, event: Event) -> tuple[SharedFrame, list[Recipient]] | None:
        """The frame of a presence event and who gets it; None when the event is not valid."""
        user_id = event.headers.get(Header.UID)
        if not user_id:
            return None
        self._put_off.pop(user_id, None)  # older than this one
        frame = SharedFrame(event.payload, droppable=True, key=f"presence/{user_id}")
        self._remember(user_id, frame)
        return frame, list(self._watchers.get(user_id, ()))

    def put_off(self, event: Event) -> None:
        """Keep a presence event for later; only the newest of each user counts."""
        user_id = event.headers.get(Header.UID, "")
        if self._put_off.pop(user_id, None) is not None:
            self._tally.dropped["presence_coalesced"] += 1
        elif len(self._put_off) >= _MAX_PUT_OFF:
            del self._put_off[next(iter(self._put_off))]
            self._tally.dropped["presence_shed"] += 1
        self._put_off[user_id] = event

    def take_put_off(self) -> Event | None:
        """The oldest event that was put off, which is no longer kept; None when there is none."""
        if not self._put_off:
            return None
        return self._put_off.pop(next(iter(self._put_off)))

    def _remember(self, user_id: str, frame: SharedFrame) -> None:
        now = self._now()
        self._recent.pop(user_id, None)
        self._recent[user_id] = (now, frame)
        for _ in range(2):  # more go than come, so the old ones vanish
            oldest = next(iter(self._recent))
            if self._recent[oldest][0] < now - RECENT or len(self._recent) > _MAX_RECENT:
                del self._recent[oldest]

    def _drop(self, recipient: Recipient, user_id: str) -> None:
        watchers = self._watchers[user_id]
        watchers.pop(recipient, None)
        if not watchers:
            del self._watchers[user_id]


def user_status(payload: bytes) -> SharedFrame | None:
    """A presence event as the old stream tells it: `[[id, username, status, text]]`."""
    try:
        fields = orjson.loads(payload)["fields"]
        args = [[fields["uid"], *fields["args"][0]]]
    except (ValueError, LookupError, TypeError):
        return None
    return SharedFrame(stream_frame(*USER_STATUS, orjson.dumps(args)), droppable=True)
