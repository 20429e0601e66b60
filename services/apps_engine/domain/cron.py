"""When a repeated job is due: five fields as cron(8) has them, in UTC.

    minute hour day-of-month month day-of-week
    */15   9-17 *            *     1-5

Each field is `*`, a number, a range `a-b`, any of these with a step `/n`, or several of them with
commas. Days of the week count from 0, Sunday, and 7 is Sunday as well. Where both days are
restricted, a day that fits either is one, as cron does it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_ITEM = re.compile(r"(\*|\d{1,2}(?:-\d{1,2})?)(?:/(\d{1,2}))?")
_BOUNDS: Final = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_LONGEST: Final = 100  # characters of an expression
_FAR: Final = timedelta(days=366 * 8 + 1)
"""29 February comes within eight years; what does not come by then never does."""
_SUNDAY: Final = 7


class WrongCron(ValueError):
    """Not an expression, or one that never comes true."""


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression that was read."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    """Whether it is enough that one of both days fits."""

    @classmethod
    def parse(cls, text: str) -> Cron:
        """Raises: WrongCron."""
        fields = text.split()
        if len(text) > _LONGEST or len(fields) != len(_BOUNDS):
            raise WrongCron("five fields: minute, hour, day, month, day of the week")
        minutes, hours, days, months, weekdays = (
            _values(field, low, high) for field, (low, high) in zip(fields, _BOUNDS, strict=True)
        )
        return cls(
            minutes,
            hours,
            days,
            months,
            frozenset(0 if day == _SUNDAY else day for day in weekdays),
            either=not fields[2].startswith("*") and not fields[4].startswith("*"),
        )

    def after(self, moment: datetime) -> datetime:
        """The first minute behind `moment` that fits. Raises: WrongCron: there is none."""
        found = moment.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        end = found + _FAR
        while found < end:
            if found.month not in self.months or not self._is_day(found):
                found = found.replace(hour=0, minute=0) + timedelta(days=1)
            elif found.hour not in self.hours:
                found = found.replace(minute=0) + timedelta(hours=1)
            elif found.minute not in self.minutes:
                found += timedelta(minutes=1)
            else:
                return found
        raise WrongCron("this never comes true")

    def _is_day(self, moment: datetime) -> bool:
        day = moment.day in self.days
        weekday = moment.isoweekday() % 7 in self.weekdays
        return day or weekday if self.either else day and weekday


def _values(field: str, low: int, high: int) -> frozenset[int]:
    values: set[int] = set()
    for item in field.split(","):
        found = _ITEM.fullmatch(item)
        if found is None:
            raise WrongCron(f"{item!r} is not a part of an expression")
        span, step_text = found.groups()
        step = int(step_text) if step_text is not None else 1
        if span == "*":
            first, last = low, high
        else:
            begin, _, end = span.partition("-")
            first = int(begin)
            # A number with a step goes on to the end, as cron has it.
            last = int(end) if end else (high if step_text is not None else first)
        if not low <= first <= last <= high or step < 1:
            raise WrongCron(f"{item!r} is not within {low} to {high}")
        values.update(range(first, last + 1, step))
    return frozenset(values)
