"""How many frames a client may send, kept in one number per connection.

The number is the moment at which the client's allowance would be full again (the generic cell
rate algorithm). Each frame moves it on by the time that one frame may take; a client is over its
limit when the moment lies further ahead than a whole burst takes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_second` in the long run, `burst` at once."""

    per_second: float
    burst: float

    def after(self, full_at: float, now: float) -> float:
        """The moment after one more frame at `now`."""
        return (full_at if full_at > now else now) + 1.0 / self.per_second

    def exceeded(self, full_at: float, now: float) -> bool:
        """Whether that moment is too far ahead."""
        return full_at - now > self.burst / self.per_second
