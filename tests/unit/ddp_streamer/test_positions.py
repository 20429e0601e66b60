"""What clients say of their positions, how much they may have, and what they are told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from hubbub.ddp.stream import stream_frame
from hubbub.errors import BadRequest
from services.ddp_streamer.frames import SharedFrame
from services.ddp_streamer.positions import (
    BURST,
    MAX_BURST,
    MAX_BYTES,
    MAX_FRAMES,
    Allowance,
    Position,
    Since,
    position_frame,
    positioned,
    resync_frame,
    since_of,
)

MESSAGE = stream_frame("room-messages", "R1", b'[{"_id":"m1"}]')


@pytest.mark.parametrize(
    "params",
    [
        [],
        ["R1"],
        ["R1", True],
        ["R1", {"useCollection": False, "args": []}],
        ["R1", {"args": [{"since": None}]}],
        ["R1", False, "since", {"since": 7}],
        [{"since": None}],
    ],
)
def test_params_of_other_clients_say_nothing(params: list[Any]) -> None:
    assert since_of(params) is None


@pytest.mark.parametrize(
    "params", [["R1", {"since": None}], ["R1", False, {"since": None}], ["R1", {}, {"since": None}]]
)
def test_a_client_without_a_position_asks_for_one(params: list[Any]) -> None:
    assert since_of(params) == Since(None)


def test_a_position() -> None:
    since = {"epoch": "log-1", "seq": 7, "more": "of a newer client"}
    assert since_of(["R1", {"since": since}]) == Since(Position("log-1", 7))


def test_what_is_no_position_is_refused_by_name() -> None:
    with pytest.raises(BadRequest) as refusal:
        since_of(["R1", {"since": {"epoch": "log-1", "seq": "7"}}])
    assert refusal.value.code == "error-invalid-since"


def test_a_place_stands_behind_everything_else() -> None:
    frame = orjson.loads(positioned(MESSAGE, 7))
    assert frame == {**orjson.loads(MESSAGE), "hubbub": {"seq": 7}}
    assert list(frame)[-1] == "hubbub"


def test_a_shared_frame_is_built_once_in_each_form() -> None:
    frame = SharedFrame(MESSAGE, position=7)
    assert frame.message == MESSAGE
    assert frame.placed.message == positioned(MESSAGE, 7)
    assert frame.placed is frame.placed
    assert frame.placed.sockjs is frame.placed.sockjs
    typing = SharedFrame(MESSAGE, droppable=True)
    assert typing.placed is typing


def test_what_clients_are_told() -> None:
    def told(frame: bytes) -> Any:
        message = orjson.loads(frame)
        assert (message["msg"], message["collection"]) == ("changed", "stream-hubbub")
        return message["fields"]["eventName"], *message["fields"]["args"]

    assert told(position_frame(Position("e", 7))) == ("position", {"epoch": "e", "seq": 7})
    assert told(resync_frame(["R1", "R2"])) == ("resync", {"rooms": ["R1", "R2"]})
    assert told(resync_frame(None)) == ("resync", {"rooms": "all"})


def test_an_allowance_is_spent_by_room_and_by_socket() -> None:
    allowance = Allowance()
    assert allowance.of("R1", 0.0) == (MAX_FRAMES, MAX_BYTES)
    allowance.spend("R1", [b"12345"] * 100)
    assert allowance.of("R1", 1.0) == (MAX_FRAMES - 100, MAX_BYTES - 500)
    assert allowance.of("R2", 1.0) == (MAX_FRAMES, MAX_BYTES - 500)
    for number in range(3):
        allowance.spend(f"S{number}", [b""] * 300)
    assert allowance.of("R2", 1.0) == (MAX_BURST - 1_000, MAX_BYTES - 500)


def test_a_later_sub_begins_a_new_burst() -> None:
    allowance = Allowance()
    assert allowance.of("R1", 100.0) == (MAX_FRAMES, MAX_BYTES)
    allowance.spend("R1", [b"x"] * 300)
    assert allowance.of("R1", 100.0 + BURST)[0] == 0
    assert allowance.of("R1", 100.1 + BURST) == (MAX_FRAMES, MAX_BYTES)
