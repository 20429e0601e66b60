"""The table of streams: who may listen to what."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.contracts.event_log import APPS, EVERYONE, LOGGED, room_audience, user_audience
from hubbub.errors import BadRequest, NotAllowed, NotFound
from services.ddp_streamer.rights import Question
from services.ddp_streamer.streams import Manner, Plan, Who, plan, wish


@pytest.mark.parametrize(
    ("stream", "event", "question"),
    [
        ("room-messages", "R1", Question("read", "u1", "R1")),
        ("notify-room", "R1/typing", Question("access", "u1", "R1")),
        ("notify-room", "R1/deleteMessage", Question("access", "u1", "R1")),
        ("notify-room", "R1/of-tomorrow", Question("access", "u1", "R1")),
        ("room-data", "R1", Question("access", "u1", "R1")),
    ],
)
def test_rooms_are_asked_about(stream: str, event: str, question: Question) -> None:
    assert plan(stream, event, "u1") == Plan(
        (stream, event), Who.ASK, room_audience("R1"), question
    )


def test_my_messages_are_for_anybody() -> None:
    found = plan("room-messages", "__my_messages__", None)
    assert found.who is Who.ANYBODY
    assert found.manner is Manner.MY_MESSAGES


@pytest.mark.parametrize("name", ["notification", "message", "userData", "otr", "of-tomorrow"])
def test_own_events_of_a_user(name: str) -> None:
    found = plan("notify-user", f"u1/{name}", "u1")
    assert (found.who, found.audience) == (Who.LOGGED, user_audience("u1"))
    with pytest.raises(NotAllowed):
        plan("notify-user", f"u1/{name}", "u2")
    assert plan("notify-user", f"u1/{name}", None).who is Who.LOGGED


@pytest.mark.parametrize(
    ("stream", "event", "who"),
    [
        ("notify-logged", "updateAvatar", Who.LOGGED),
        ("notify-logged", "private-settings-changed", Who.ASK),
        ("roles", "roles", Who.LOGGED),
        ("notify-all", "public-settings-changed", Who.ANYBODY),
        ("notify-all", "roles-change", Who.ANYBODY),
        ("apps", "app/added", Who.LOGGED),
        ("apps", "app/settingUpdated", Who.LOGGED),
        ("importers", "progress", Who.ASK),
        ("integrationHistory", "x", Who.ASK),
        ("user-presence", "", Who.LOGGED),
    ],
)
def test_who_may_listen(stream: str, event: str, who: Who) -> None:
    assert plan(stream, event, "u1").who is who


@pytest.mark.parametrize(
    "stream",
    [
        "notify-room-users",
        "apps-engine",
        "stdout",
        "canned-responses",
        "livechat-room",
        "livechat-inquiry-queue-observer",
        "local",
    ],
)
def test_what_nobody_may_listen_to(stream: str) -> None:
    with pytest.raises(NotAllowed) as caught:
        plan(stream, "x", "u1")
    assert caught.value.message == "[not-allowed]"


def test_unknown_streams_and_empty_events() -> None:
    with pytest.raises(NotFound) as unknown:
        plan("nonsense", "x", "u1")
    assert unknown.value.code == 404
    assert unknown.value.reason == "Subscription 'stream-nonsense' not found"
    for stream, event in (("room-messages", ""), ("notify-room", "/typing"), ("roles", "")):
        with pytest.raises(BadRequest) as empty:
            plan(stream, event, "u1")
        assert empty.value.code == "invalid-event-name"


def test_audiences_of_what_concerns_many() -> None:
    assert plan("apps", "app/settingUpdated", "u1").audience == APPS
    assert plan("notify-all", "x", None).audience == EVERYONE
    assert plan("notify-logged", "x", "u").audience == LOGGED


@pytest.mark.parametrize(
    ("second", "use"),
    [
        (True, True),
        (False, False),
        ({"useCollection": True}, True),
        ({"useCollection": False, "args": [None]}, False),
        ("GENERAL", False),
        (None, False),
        (17, False),
        ({"useCollection": 1}, False),
    ],
)
def test_second_parameters_of_all_shapes(second: Any, use: bool) -> None:
    assert wish(["R1", second]).use_collection is use


def test_presence_deltas_in_both_places() -> None:
    delta = {"added": ["a"], "removed": ["b"]}
    assert wish(["", delta]).presence_delta == delta
    assert wish(["", {"useCollection": False, "args": [delta]}]).presence_delta == delta
    for args in ([None], [], "x", [False]):
        assert wish(["", {"args": args}]).presence_delta == {}


def test_ids_that_no_room_can_have_are_refused_before_anybody_is_asked() -> None:
    with pytest.raises(NotAllowed):
        plan("room-messages", "x" * 129, "u1")


@pytest.mark.parametrize("params", [[], [None], [5], [{"$ne": 1}], ["x" * 513]])
def test_an_event_name_is_a_text(params: list[Any]) -> None:
    with pytest.raises(BadRequest):
        wish(params)
