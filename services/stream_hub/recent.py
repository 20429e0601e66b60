"""What the hub published about messages lately: ids and moments, for those who ask why."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from hubbub.contracts.documents import Identifier
from hubbub.contracts.explain import Appended, HubMemory, HubRecall

Entry = tuple[str, int, int, str, int, int]
"""Message id, sequence (0: no event was made), epoch, stream (or why there is no event),
committed, published: milliseconds since 1970."""


class RecentEvents:
    """The last events about messages that this process published, whoever asks afterwards.

    Noting one costs a tuple; they are searched only when somebody asks.
    """

    def __init__(self, limit: int, *, now: Callable[[], float]) -> None:
        """
        Args:
            limit: events that are remembered.
            now: seconds since 1970.
        """
        self._entries: deque[Entry] = deque(maxlen=limit)
        self._now = now
        self._begun = int(now() * 1000)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def since(self) -> int:
        """What was published before is not remembered; milliseconds since 1970."""
        entries = self._entries
        return entries[0][5] if len(entries) == entries.maxlen else self._begun

    def appended(
        self,
        message_id: str,
        sequence: int,
        epoch: int,
        stream: str,
        committed: int,
        published: int,
    ) -> None:
        """The log has acknowledged an event."""
        self._entries.append((message_id, sequence, epoch, stream, committed, published))

    def skipped(self, message_id: str, reason: str, committed: int) -> None:
        """A change of a message made no event."""
        self._entries.append((message_id, 0, 0, reason, committed, int(self._now() * 1000)))

    def of(self, message_id: str, *, leads: bool) -> HubMemory:
        """Everything about one message."""
        found = [entry for entry in self._entries if entry[0] == message_id]
        reasons = [entry[3] for entry in found if not entry[1]]
        return HubMemory(
            since=self.since,
            leads=leads,
            events=[
                Appended(
                    sequence=sequence,
                    epoch=epoch,
                    stream=stream,
                    committed=committed,
                    published=published,
                )
                for _, sequence, epoch, stream, committed, published in found
                if sequence
            ],
            skipped=reasons[-1] if reasons else "",
        )


class Recall(HubRecall):
    """The door to it."""

    def __init__(self, recent: RecentEvents, leads: Callable[[], bool]) -> None:
        self._recent = recent
        self._leads = leads

    async def recall(self, message_id: Identifier) -> HubMemory:
        """See the contract."""
        return self._recent.of(message_id, leads=self._leads())
