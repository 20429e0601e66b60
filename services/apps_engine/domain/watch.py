"""When a running app has gone too far: processor, memory, disk, silence, and delay.

Every moment is an argument, in seconds of a clock that never goes back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Sample:
    """What an app's process has used so far."""

    at: float  # seconds
    processor: float  # seconds, of all its threads
    resident: int  # bytes
    threads: int = 1
    scratch: int = 0  # bytes
    scratch_files: int = 0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What it may use."""

    processor_share: float = 0.5
    """Of one core, on average over `processor_span`."""
    processor_span: float = 15.0  # seconds
    resident: int = 256 * 1024 * 1024  # bytes
    threads: int = 64
    """More than the launcher's own limit, which does not hold everywhere."""
    scratch: int = 16 * 1024 * 1024  # bytes
    scratch_files: int = 1_000


@dataclass(slots=True)
class Watch:
    """Judges sample after sample of one process."""

    bounds: Bounds
    _samples: deque[Sample] = field(init=False, default_factory=deque)

    def judge(self, sample: Sample) -> str | None:
        """Why the process has to end, in words for an administrator; None: it may go on."""
        bounds = self.bounds
        if sample.resident > bounds.resident:
            return f"used {_mebibytes(sample.resident)} of memory"
        if sample.threads > bounds.threads:
            return f"had {sample.threads} threads"
        if sample.scratch > bounds.scratch:
            return f"wrote {_mebibytes(sample.scratch)} into its scratch folder"
        if sample.scratch_files > bounds.scratch_files:
            return f"wrote {sample.scratch_files} files into its scratch folder"
        if (share := self._share(sample)) > bounds.processor_share:
            return f"used {share:.0%} of a processor for {bounds.processor_span:g} s"
        return None

    def _share(self, sample: Sample) -> float:
        """The share over the last whole span; 0 while there is none."""
        span = self.bounds.processor_span
        self._samples.append(sample)
        # The oldest one that is kept is the youngest that lies a whole span back.
        while len(self._samples) > 1 and sample.at - self._samples[1].at >= span:
            self._samples.popleft()
        oldest = self._samples[0]
        passed = sample.at - oldest.at
        if passed < span:
            return 0.0
        return (sample.processor - oldest.processor) / passed


@dataclass(slots=True)
class Silence:
    """Notices an app that takes calls and says nothing any more.

    A deadline that passes is the fault of one handler, and may be that of a busy machine. It is
    silence when `calls` deadlines in a row passed, over at least `span` seconds, and not a
    single frame came in between.
    """

    calls: int = 5
    span: float = 10.0
    _missed: int = field(init=False, default=0)
    _since: float = field(init=False, default=0.0)

    def heard(self) -> None:
        """A frame came."""
        self._missed = 0

    def missed(self, asked: float, now: float) -> bool:
        """The deadline of a call made at `asked` passed; returns whether it is silence."""
        if not self._missed:
            self._since = asked
        self._missed += 1
        return self._missed >= self.calls and now - self._since >= self.span


@dataclass(slots=True)
class Trust:
    """Whether an app is asked before a message is stored.

    Everybody's message waits for its verdict. So after `misses` in a row that did not come, or
    made no sense, it is left alone for `rest` seconds; then a single message tries whether it
    answers again.
    """

    misses: int = 3
    rest: float = 15.0  # seconds
    _missed: int = field(init=False, default=0)
    _until: float = field(init=False, default=0.0)

    def asks(self, now: float) -> bool:
        """Whether it is asked now. One that is tried is left alone again until it has answered."""
        if self._missed < self.misses:
            return True
        if now < self._until:
            return False
        self._until = now + self.rest
        return True

    def answered(self) -> None:
        """It did, if only to say that it could not."""
        self._missed = 0

    def missed(self, now: float) -> bool:
        """There was no verdict; returns whether it is left alone from now on, unlike before."""
        self._missed += 1
        if self._missed >= self.misses:
            self._until = now + self.rest
        return self._missed == self.misses


def _mebibytes(count: int) -> str:
    return f"{count / 1024 / 1024:.0f} MiB"
