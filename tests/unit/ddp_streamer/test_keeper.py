"""Taking audiences: they are routed, all at once, when they are said to be."""

from __future__ import annotations

import asyncio

import pytest

from hubbub.contracts.event_log import room_audience
from hubbub.errors import Unavailable
from services.ddp_streamer.audiences.interest import Interest
from services.ddp_streamer.audiences.keeper import _all_open


async def test_what_is_lost_while_another_one_is_waited_for_is_waited_for_again() -> None:
    first, second = Interest(room_audience("R1")), Interest(room_audience("R2"))
    first.opened.set_result(None)
    waiting = asyncio.create_task(_all_open([first, second], 30.0))
    await asyncio.sleep(0)
    first.reset()
    second.opened.set_result(None)
    await asyncio.sleep(0.01)
    assert not waiting.done()
    first.opened.set_result(None)
    await waiting


async def test_what_cannot_be_routed_in_time_is_said() -> None:
    with pytest.raises(Unavailable):
        await _all_open([Interest(room_audience("R1"))], 0.01)
