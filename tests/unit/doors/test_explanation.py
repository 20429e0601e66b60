"""The one line at the end of an explanation."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hubbub.contracts.explain import (
    Appended,
    Delivery,
    HubMemory,
    MessageFacts,
    Stay,
    StreamerMemory,
)
from hubbub.doors.explanation import (
    Access,
    AskedHub,
    AskedStreamer,
    Findings,
    as_document,
    verdict,
)

SENT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
BEFORE, AFTER = SENT - timedelta(hours=1), SENT + timedelta(hours=1)


def ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def delivery(outcome: str, reason: str = "", **more: Any) -> Delivery:
    told = {"connection": "c", "opened": ms(BEFORE), "outcome": outcome, "reason": reason}
    return Delivery.model_validate(told | more)


def hub(
    *, event: bool = True, skipped: str = "", since: datetime = BEFORE, leads: bool = True
) -> AskedHub:
    appended = Appended(
        sequence=7, epoch=3, stream="room-messages", committed=ms(SENT), published=ms(SENT)
    )
    memory = HubMemory(
        since=ms(since), leads=leads, events=[appended] if event else [], skipped=skipped
    )
    return AskedHub(instance="stream-hub-a", memory=memory)


def streamer(*deliveries: Delivery, since: datetime = BEFORE) -> AskedStreamer:
    memory = StreamerMemory(pod="p", since=ms(since), deliveries=list(deliveries))
    return AskedStreamer(instance="ddp-streamer-a", memory=memory)


def findings(
    *deliveries: Delivery,
    member: bool = True,
    kind: str = "p",
    read: bool = True,
    hubs: list[AskedHub] | None = None,
    **more: Any,
) -> Findings:
    stay = Stay(since=BEFORE) if member else Stay(since=BEFORE, until=SENT - timedelta(minutes=1))
    told = {
        "user_id": "ana",
        "message": MessageFacts(id="m", room_id="r", room_type=kind, ts=SENT),
        "stays": [stay],
        "access": Access(read=read, held=[]),
        "hubs": [hub()] if hubs is None else hubs,
        "streamers": [streamer(*deliveries)],
    }
    return Findings(**(told | more))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        pytest.param(findings(delivery("delivered")), ("delivered", ""), id="delivered"),
        pytest.param(
            findings(delivery("dropped", "slow_client"), delivery("delivered")),
            ("delivered", ""),
            id="one connection is enough",
        ),
        pytest.param(
            findings(delivery("delivered"), member=False), ("delivered", ""), id="not by right"
        ),
        pytest.param(
            findings(delivery("not_subscribed", "unsubscribed"), member=False),
            ("filtered", "not_member"),
            id="not a member",
        ),
        pytest.param(
            findings(delivery("not_subscribed", "unsubscribed"), member=False, kind="c"),
            ("not_subscribed", "unsubscribed"),
            id="public rooms need no membership",
        ),
        pytest.param(
            findings(member=False, kind="c", read=False),
            ("filtered", "not_member"),
            id="public rooms may be closed to some",
        ),
        pytest.param(
            findings(delivery("not_connected", "client"), delivery("dropped", "slow_client")),
            ("dropped", "slow_client"),
            id="slow",
        ),
        pytest.param(
            findings(delivery("not_connected", "client"), delivery("not_subscribed", "x")),
            ("not_subscribed", "x"),
            id="listened to other things",
        ),
        pytest.param(
            findings(delivery("unknown", "not_arrived"), delivery("not_connected", "client")),
            ("unknown", "not_arrived"),
            id="did not arrive",
        ),
        pytest.param(
            findings(delivery("not_connected", "opened_later")),
            ("not_connected", "opened_later"),
            id="too late",
        ),
        pytest.param(findings(), ("not_connected", ""), id="nowhere"),
        pytest.param(
            findings(streamers=[streamer(since=AFTER)]),
            ("unknown", "older_than_memory"),
            id="all streamers are younger",
        ),
        pytest.param(
            findings(hubs=[hub(event=False, skipped="hidden")]),
            ("not_published", "hidden"),
            id="hidden",
        ),
        pytest.param(
            findings(hubs=[hub(event=False)]), ("not_published", "not_seen"), id="not read yet"
        ),
        pytest.param(
            findings(hubs=[hub(event=False, since=AFTER)]),
            ("unknown", "older_than_memory"),
            id="the hub is younger",
        ),
        pytest.param(findings(hubs=[]), ("unknown", "no_hub"), id="no hub"),
        pytest.param(
            findings(delivery("not_connected", "client"), hubs=[hub(event=False, leads=False)]),
            ("not_connected", "client"),
            id="only a standby answered",
        ),
    ],
)
def test_verdicts(known: Findings, expected: tuple[str, str]) -> None:
    """Outcome and reason, and always a line of text."""
    told = verdict(known)
    assert (told.outcome, told.reason) == expected
    assert told.text
    assert "\n" not in told.text


@pytest.mark.parametrize(
    ("more", "text"),
    [
        pytest.param({"written": True, "acknowledged": True}, "has answered since", id="has it"),
        pytest.param({"written": True, "acknowledged": False}, "left the server", id="written"),
        pytest.param({"written": False}, "still waits", id="waits"),
    ],
)
def test_how_far_a_delivery_came(more: dict[str, Any], text: str) -> None:
    """Nothing is claimed that is not known."""
    assert text in verdict(findings(delivery("delivered", **more))).text


def test_an_end_that_nobody_can_see_is_admitted() -> None:
    """Streamers that began later may have had predecessors."""
    known = findings(streamers=[streamer(), streamer(since=AFTER)], silent=["ddp-streamer-z"])
    assert "2 began later or did not answer" in verdict(known).text


def test_of_two_hubs_the_later_is_right() -> None:
    """The event of a hub that led no longer does not count."""
    stale, valid = hub(), hub()
    [event] = valid.memory.events
    later = event.model_copy(update={"sequence": 9, "epoch": 4})
    edited = event.model_copy(update={"sequence": 12, "epoch": 4, "committed": ms(AFTER)})
    valid.memory.events[:] = [later, edited]

    found = findings(hubs=[stale, valid]).event

    assert found is not None
    assert (found.sequence, found.epoch) == (9, 4)


def test_the_document_is_json_in_camel_case() -> None:
    """With moments that people can read, and no field that is not told."""
    told = as_document(findings(delivery("delivered", queued=ms(SENT))))
    assert json.loads(json.dumps(told)) == told
    assert told["event"]["published"] == "2026-11-20T10:00:00.000Z"
    assert told["streamers"][0]["memory"]["deliveries"][0]["queued"].endswith("Z")
    assert told["message"]["roomId"] == "r"
    assert told["verdict"]["outcome"] == "delivered"
    assert told["push"] == "not_offered"
