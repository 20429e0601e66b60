"""When something regular comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from hubbub.apps.cron import WrongCron, next_of

NOW = datetime(2030, 1, 1, 12, 0, 30, tzinfo=UTC)  # a Tuesday


@pytest.mark.parametrize(
    ("cron", "comes"),
    [
        ("* * * * *", datetime(2030, 1, 1, 12, 1, tzinfo=UTC)),
        ("0 9 * * mon-fri", datetime(2030, 1, 2, 9, tzinfo=UTC)),
        ("0 9 * * SAT,SUN", datetime(2030, 1, 5, 9, tzinfo=UTC)),
        ("0 0 * * 7", datetime(2030, 1, 6, tzinfo=UTC)),
        ("*/20 13-14 * * *", datetime(2030, 1, 1, 13, tzinfo=UTC)),
        ("0 12 * * *", datetime(2030, 1, 2, 12, tzinfo=UTC)),
        ("0 0 29 feb *", datetime(2032, 2, 29, tzinfo=UTC)),
        ("0 0 13 * 5", datetime(2030, 1, 4, tzinfo=UTC)),
    ],
)
def test_when_it_comes(cron: str, comes: datetime) -> None:
    assert next_of(cron, NOW) == comes


def test_time_is_that_of_utc() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    assert next_of("0 13 * * *", elsewhere) == datetime(2030, 1, 1, 13, tzinfo=UTC)


@pytest.mark.parametrize(
    "cron",
    [
        "",
        "hourly",
        "@daily",
        "* * * *",
        "* * * * * *",
        "60 * * * *",
        "* * 0 * *",
        "*/0 * * * *",
        "5-1 * * * *",
        "0 0 31 2 *",
        "-1 * * * *",
        "٣ * * * *",
        "1," * 60 + "1 * * * *",
    ],
)
def test_what_is_no_time(cron: str) -> None:
    with pytest.raises(WrongCron):
        next_of(cron, NOW)
