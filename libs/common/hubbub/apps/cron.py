"""When something regular comes next: five fields as crontab(5) has them, in UTC. Pure.

    minute hour day-of-month month day-of-week
    0      9    *            *     mon-fri

Where both days are restricted, a day that fits either is one, as cron does it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from cronsim import CronSim, CronSimError

LONGEST: Final = 100
"""Characters of an expression."""

_FIELDS: Final = 5


class WrongCron(ValueError):
    """Not an expression, or one that never comes true."""


def next_of(cron: str, after: datetime) -> datetime:
    """The first minute behind `after` that fits.

    Raises: WrongCron: there is none, or it is no expression.
    """
    # The library takes a sixth field, for seconds: nothing here wakes up that often.
    if len(cron) > LONGEST or len(cron.split()) != _FIELDS:
        raise WrongCron(f"{cron[:LONGEST]!r} is not minute, hour, day, month and day of the week")
    try:
        return next(CronSim(cron, after.astimezone(UTC)))
    except CronSimError as error:
        raise WrongCron(f"{cron!r}: {error}") from error
    except StopIteration:
        raise WrongCron(f"{cron!r} never comes true") from None
