"""The way out of one connection: bounded, coalesced, never waited for.

Frames are queued here and leave together: everything that is queued for a connection within one
turn of the event loop goes to the transport in one write. The transport is asked to keep nothing:
as soon as the kernel does not take a whole write, further frames stay here, by reference (a
shared frame exists once however many clients are slow), until the rest is out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

CHUNK = 256 * 1024  # bytes handed to a transport at once
MAX_HELD = 1_000  # latest states kept for one slow client
MAX_ASKED = 1_000  # who want to know when something was written
MAX_STUCK = 100  # of those, who wait for clients that do not read


class Writable(Protocol):
    """What an outbox needs from a transport."""

    def write(self, data: bytes) -> None: ...
    def get_write_buffer_size(self) -> int: ...


class Flusher:
    """Writes out all outboxes that have something, once per turn of the loop.

    With many of them it lets others run after `slice_seconds`. When a round took long, the next
    one begins a little later (at most `max_delay`), so that under load several events share one
    write per socket instead of each costing a round of system calls.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        slice_seconds: float = 0.002,
        max_delay: float = 0.004,
    ) -> None:
        self._loop = loop
        self._slice = slice_seconds
        self._max_delay = max_delay
        self.dirty: list[Outbox] = []  # have got a frame since the round under way began
        self._round: list[Outbox] = []  # still to be written out in this round
        self.scheduled = False
        self._busy = 0.0  # seconds of work of the round under way
        self._pause = 0.0  # seconds to wait before the next round
        self._parts: list[bytes] = []
        self._joined = b""
        self.congested: set[Outbox] = set()
        self.written = 0  # bytes handed to transports so far
        self.coalesced = 0  # droppable frames that a newer one of their key replaced so far
        self.dropped = 0  # droppable frames that slow clients did without so far
        self._asked: list[tuple[Outbox, Callable[[], None]]] = []
        self._stuck: list[tuple[Outbox, Callable[[], None]]] = []

    def mark(self, outbox: Outbox) -> None:
        """`outbox` has got its first frame."""
        self.dirty.append(outbox)
        if not self.scheduled:
            self.schedule()

    def schedule(self) -> None:
        """Something is dirty, and no round is planned yet."""
        self.scheduled = True
        if self._pause:
            self._loop.call_later(self._pause, self._flush)
        else:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """One slice of a round; what gets dirty meanwhile belongs to the next round."""
        time: Callable[[], float] = self._loop.time
        begun = time()
        deadline = begun + self._slice
        if not self._round:
            self._round, self.dirty = self.dirty, []
        done = written = 0
        try:
            for outbox in self._round:
                done += 1
                written += outbox.flush(begun)
                if not done & 31 and time() > deadline:
                    break
        finally:
            del self._round[:done]
            self._parts, self._joined = [], b""
            self.written += written
            self._busy += time() - begun
            if self._asked:
                self.tell()
            self._go_on()

    def _go_on(self) -> None:
        if self._round:
            self._loop.call_soon(self._flush)
            return
        self._pause = min(self._busy, self._max_delay) if self._busy > self._slice else 0.0
        self._busy = 0.0
        self.scheduled = False
        if self.dirty:
            self.schedule()

    def when_written(self, outbox: Outbox, function: Callable[[], None]) -> None:
        """Call `function` when what `outbox` has now is in the kernel.

        It is never called when the client goes before, or when too many wait already.
        """
        if outbox.congested:
            if len(self._stuck) < MAX_STUCK:
                self._stuck.append((outbox, function))
        elif len(self._asked) < MAX_ASKED:
            self._asked.append((outbox, function))

    def tell(self) -> None:
        """Answer those of `when_written` whose moment has come."""
        asked, self._asked = self._asked, []
        for outbox, function in asked:
            if outbox.empty:
                function()
            elif outbox.congested:
                if len(self._stuck) < MAX_STUCK:
                    self._stuck.append((outbox, function))
            elif not outbox.closed:
                self._asked.append((outbox, function))

    def resumed(self, outbox: Outbox) -> None:
        """The client of `outbox` reads again, or is gone."""
        self.congested.discard(outbox)
        self._asked += self._stuck
        self._stuck = []

    def join(self, parts: list[bytes]) -> bytes:
        """`parts` as one bytes object; made once when many sockets have the same parts waiting."""
        if parts != self._parts:
            self._parts, self._joined = parts, b"".join(parts)
        return self._joined


class Outbox:
    """Frames of one connection that are not in the kernel yet."""

    __slots__ = (
        "_bytes",
        "_flusher",
        "_frames",
        "_hard",
        "_held",
        "_seen_size",
        "_soft",
        "_transport",
        "congested",
        "flushed_at",
        "progress_at",
    )

    def __init__(
        self, transport: Writable, flusher: Flusher, *, soft: int, hard: int, now: float
    ) -> None:
        self._transport: Writable | None = transport
        self._flusher = flusher
        self._soft = soft  # bytes
        self._hard = hard  # bytes
        self._frames: list[bytes] | None = None
        self._bytes = 0
        self._held: dict[str, bytes] | None = None
        self._seen_size = 0
        self.congested = False
        self.flushed_at = now
        self.progress_at = now

    @property
    def backlog(self) -> int:
        """Bytes queued here and in the transport."""
        transport = self._transport  # may be asked from another thread
        return 0 if transport is None else self._bytes + transport.get_write_buffer_size()

    @property
    def empty(self) -> bool:
        """All that was queued is in the kernel."""
        return self._frames is None and not self.congested and self._transport is not None

    @property
    def closed(self) -> bool:
        """The transport is gone."""
        return self._transport is None

    def put(self, frame: bytes) -> bool:
        """Queue a frame. False: the hard limit is reached, nothing was queued.

        This runs once per frame and socket, hence it does in one piece what could be several.
        """
        frames = self._frames
        if self.congested:
            if self.backlog + len(frame) > self._hard:
                return False
            self._append(frame)
            return True
        if frames is not None:
            size = self._bytes + len(frame)
            if size > self._hard:
                return False
            frames.append(frame)
            self._bytes = size
            return True
        if self._transport is None:
            return False
        self._frames = [frame]
        self._bytes = len(frame)
        flusher = self._flusher
        flusher.dirty.append(self)
        if not flusher.scheduled:
            flusher.schedule()
        return True

    def put_droppable(self, frame: bytes, key: str | None) -> bool:
        """Queue a frame that a slow client can do without; False when it was not queued.

        Over the soft limit the last one of each `key` is held until the backlog has gone.
        """
        if not self.congested or self.backlog + len(frame) <= self._soft:
            held = self._held
            if held is not None and key is not None and held.pop(key, None) is not None:
                self._flusher.coalesced += 1  # older than this one
            return self.put(frame)
        if key is not None:
            if self._held is None:
                self._held = {}
            if key in self._held:
                self._flusher.coalesced += 1
                self._held[key] = frame
                return False
            if len(self._held) < MAX_HELD:
                self._held[key] = frame
                return False
        self._flusher.dropped += 1
        return False

    def put_last(self, frame: bytes) -> None:
        """Queue a closing frame, whatever the limits say."""
        self._append(frame)

    def _append(self, frame: bytes) -> None:
        if self._transport is None:
            return
        if self._frames is None:
            self._frames = [frame]
            if not self.congested:
                self._flusher.mark(self)
        else:
            self._frames.append(frame)
        self._bytes += len(frame)

    def flush(self, now: float) -> int:
        """Hand over everything, until the transport is congested; the number of bytes."""
        frames, transport = self._frames, self._transport
        if frames is None or self.congested or transport is None:
            return 0
        self.flushed_at = now
        size = self._bytes
        if size > CHUNK:
            return self._flush_chunks(frames, transport)
        self._frames = None
        self._bytes = 0
        transport.write(frames[0] if len(frames) == 1 else self._flusher.join(frames))
        return size

    def _flush_chunks(self, frames: list[bytes], transport: Writable) -> int:
        """Hand over a large backlog piece by piece, so that what a congested transport keeps is
        one chunk and not a copy of everything."""
        done = written = 0
        while done < len(frames) and not self.congested:
            begin, size = done, 0
            while done < len(frames) and (size == 0 or size + len(frames[done]) <= CHUNK):
                size += len(frames[done])
                done += 1
            written += size
            transport.write(self._flusher.join(frames[begin:done]))
        self._bytes -= written
        self._frames = frames[done:] or None
        return written

    def pause(self, now: float) -> None:
        """The transport's buffer is full."""
        if self._transport is not None:
            self.congested = True
            self.progress_at = now
            self._seen_size = self._transport.get_write_buffer_size()
            self._flusher.congested.add(self)

    def resume(self) -> None:
        """The transport's buffer has drained."""
        self.congested = False
        self._flusher.resumed(self)
        if self._held is not None:
            held, self._held = self._held, None
            frames = self._frames = self._frames or []
            for frame in held.values():
                frames.append(frame)
                self._bytes += len(frame)
        if self._frames is not None:
            self._flusher.mark(self)
        else:
            self._flusher.tell()

    def stalled_since(self, now: float) -> float:
        """Since when the client has taken nothing; `now` when it takes or nothing waits."""
        if not self.congested or self._transport is None:
            return now
        size = self._transport.get_write_buffer_size()
        if size < self._seen_size:  # nothing is added to a congested transport
            self._seen_size = size
            self.progress_at = now
        return self.progress_at

    def discard(self, unwanted: Callable[[bytes], bool]) -> int:
        """Forget the frames queued here that are `unwanted`; how many they were."""
        frames = self._frames
        if frames is None:
            return 0
        kept = [frame for frame in frames if not unwanted(frame)]
        self._frames = kept or None
        self._bytes = sum(map(len, kept))
        return len(frames) - len(kept)

    def drop(self) -> int:
        """Forget what is queued here; the transport keeps what it has, which ends with a frame.

        Returns: how many frames were forgotten.
        """
        forgotten = len(self._frames or ()) + len(self._held or ())
        self._frames = None
        self._held = None
        self._bytes = 0
        return forgotten

    def close(self) -> None:
        """The transport is gone."""
        self.drop()
        if self.congested:
            self._flusher.resumed(self)
        self.congested = False
        self._transport = None
