"""Reminders come when they should, once, and to whoever asked."""

from __future__ import annotations

from datetime import timedelta

import pytest
from reminders import HELP, app, duration

from hubbub.apps.testing import TestClient


@pytest.fixture
def client() -> TestClient:
    return app.test_client()


def test_it_reminds_when_it_is_time(client: TestClient) -> None:
    assert client.command("/remind 10m the oven") == [
        "I will remind you at 12:10 UTC on 01 January."
    ]
    client.advance(minutes=9, seconds=59)
    assert client.sent == []
    client.advance(seconds=1)
    (message,) = client.sent
    assert message.text == "the oven"
    assert client.room_of(message) == "@ada"
    assert client.stored == {}
    client.advance(days=2)
    assert client.sent == [message]


def test_the_next_one_comes_first(client: TestClient) -> None:
    client.command("/remind 2h lunch")
    client.command("/remind 10m the oven")
    client.command("/remind 1h something of somebody else", user="bob")
    assert client.command("/remind list") == ["1. the oven\n2. lunch"]
    assert client.command("/remind cancel 1") == ["Cancelled: the oven"]
    assert client.command("/remind list") == ["1. lunch"]
    client.advance(hours=3)
    assert [message.text for message in client.sent] == ["something of somebody else", "lunch"]
    assert client.command("/remind list") == ["You have no reminders."]


def test_a_job_that_comes_twice_is_one_message(client: TestClient) -> None:
    client.command("/remind 10m the oven")
    (job,) = client.planned
    client.advance(minutes=10)
    client.hubbub.jobs[job.id] = job
    client.advance(minutes=1)
    assert len(client.sent) == 1


def test_nobody_has_more_than_the_limit() -> None:
    client = app.test_client(limit=1)
    client.command("/remind 1m one")
    assert client.command("/remind 1m two") == ["You have too many reminders; cancel one first."]
    assert "I will" in client.command("/remind 1m of another", user="bob")[0]


@pytest.mark.parametrize(
    "params",
    ["", "10m", "10m ", "soon lunch", "10 lunch", "cancel", "cancel 1", "cancel -1", "m x"],
)
def test_what_it_does_not_understand(client: TestClient, params: str) -> None:
    assert client.command(f"/remind {params}") == [HELP]
    assert client.planned == []


@pytest.mark.parametrize("params", ["0m now", "367d later"])
def test_too_soon_and_too_late(client: TestClient, params: str) -> None:
    assert client.command(f"/remind {params}") == ["A reminder comes within a year."]


def test_durations() -> None:
    assert duration("1d2h3m4s") == timedelta(days=1, hours=2, minutes=3, seconds=4)
    assert duration("90m") == timedelta(minutes=90)
    assert duration("") is None
    assert duration("5m5h") is None
