"""Clients that say where they were: they get what they missed, all of it or nothing."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from hubbub.contracts.event_log import LOG_STREAM, EventsMissing, room_audience
from hubbub.ddp.stream import stream_frame
from tests.integration.ddp_streamer.harness import FakeHub, fresh_log
from tests.integration.ddp_streamer.world import DdpClient, World, world
from tests.waiting import eventually

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

Where = dict[str, Any]

PAGE = Path(__file__).parents[3] / "docs" / "howto" / "come-back.md"

_NUMBERS = count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def town(nats_url: str) -> AsyncIterator[World]:
    async with world(nats_url) as running:
        yield running


@pytest.fixture
def room(town: World) -> str:
    """A room of this test alone; bob and eve are in it."""
    room_id = f"R{next(_NUMBERS)}"
    town.room(room_id, "bob", "eve")
    return room_id


async def ask(
    client: DdpClient, since: Any, event: str, stream: str = "room-messages"
) -> dict[str, Any]:
    """The answer to a sub that says where the client was."""
    sub_id = await client.sub(stream, event, {"useCollection": False, "args": [], "since": since})
    return await client.answered(sub_id, within=20.0)


async def first_visit(town: World, room_id: str) -> Where:
    """Subscribe, hear one message, go; where the client was then."""
    client = await town.client("bob")
    answer = await ask(client, None, room_id)
    assert answer["hubbub"]["recovered"] is False
    sequence = await town.hub.message(room_id, "heard")
    await client.hears("room-messages", room_id)
    frame = client.frames[-1]
    assert frame["hubbub"] == {"seq": sequence}
    await client.end()
    return {"epoch": answer["hubbub"]["epoch"], "seq": frame["hubbub"]["seq"]}


def before_ready(client: DdpClient) -> list[str]:
    """Messages that came ahead of the answer to the sub."""
    kinds = [frame.get("msg") for frame in client.frames]
    return [
        frame["fields"]["args"][0]["_id"]
        for frame in client.frames[: kinds.index("ready")]
        if frame.get("collection") == "stream-room-messages"
    ]


async def forget_before(town: World, sequence: int) -> None:
    """The log drops what is older, and the streamer has lost nothing by that."""

    def is_proven() -> bool:
        proven = town.streamer.audiences.places.proven()
        return proven is not None and proven.sequence >= sequence

    await town.hub.watermark()
    await eventually(is_proven, within=20.0)
    await town.hub.client.jetstream().purge_stream(LOG_STREAM, seq=sequence)


async def test_a_client_gets_exactly_what_it_missed_and_then_what_comes(
    town: World, room: str
) -> None:
    where = await first_visit(town, room)
    other = f"{room}-other"
    town.room(other, "bob")
    for number in range(5):
        await town.hub.message(room, f"m{number}")
        await town.hub.message(other, "of another room")
    last = town.hub.last - 1

    client = await town.client("bob")
    answer = await ask(client, where, room)

    assert answer["hubbub"] == {"epoch": town.hub.log_epoch, "seq": last, "recovered": True}
    assert before_ready(client) == [f"m{number}" for number in range(5)]
    await town.hub.message(room, "live")
    await client.hears("room-messages", room, 6)
    assert client.texts(room) == [*before_ready(client), "live"]
    placed = [frame["hubbub"]["seq"] for frame in client.frames if frame.get("msg") == "changed"]
    assert len(placed) == 6
    assert placed == sorted(placed)


async def test_deletions_are_replayed_too(town: World, room: str) -> None:
    where = await first_visit(town, room)
    payload = stream_frame("notify-room", f"{room}/deleteMessage", b'[{"_id":"heard"}]')
    await town.hub.publish(
        room_audience(room), payload, stream="notify-room", key=f"{room}/deleteMessage"
    )
    client = await town.client("bob")

    answer = await ask(client, where, f"{room}/deleteMessage", "notify-room")

    assert answer["hubbub"]["recovered"] is True
    assert client.heard("notify-room", f"{room}/deleteMessage") == [[{"_id": "heard"}]]
    assert client.texts(room) == []


async def test_others_see_nothing_of_it(town: World, room: str) -> None:
    plain = await town.client("eve")
    await plain.subscribed("room-messages", room)
    where = await first_visit(town, room)
    again = await town.client("bob")
    await ask(again, where, room)
    await town.hub.message(room, "live")
    await again.hears("room-messages", room)
    await plain.hears("room-messages", room, 2)
    assert not any("hubbub" in frame for frame in plain.frames)


async def test_a_client_that_missed_nothing_is_told_so(town: World, room: str) -> None:
    where = await first_visit(town, room)
    client = await town.client("bob")
    answer = await ask(client, where, room)
    assert answer["hubbub"] == {**where, "recovered": True}
    assert client.texts(room) == []


async def test_who_was_removed_gets_nothing(town: World, room: str) -> None:
    where = await first_visit(town, room)
    await town.hub.message(room, "still inside")
    await town.leave("bob", room)
    await town.hub.message(room, "secret")
    client = await town.client("bob")

    answer = await ask(client, where, room)

    assert answer["msg"] == "nosub"
    assert answer["error"]["error"] == "not-allowed"
    assert client.texts(room) == []


async def test_who_was_removed_and_came_back_has_to_fetch(town: World, room: str) -> None:
    where = await first_visit(town, room)
    await town.leave("bob", room)
    await town.hub.message(room, "secret")
    await town.join("bob", room)
    client = await town.client("bob")

    answer = await ask(client, where, room)

    assert answer["hubbub"]["recovered"] is False
    assert client.texts(room) == []


async def test_an_event_that_could_not_be_published_has_to_be_fetched(
    town: World, room: str
) -> None:
    """It stands in the log as missing; what came behind it is no reason to call it recovered."""
    where = await first_visit(town, room)
    await town.hub.control(room_audience(room), EventsMissing(reason="too-large"))
    await town.hub.message(room, "behind it")
    client = await town.client("bob")

    answer = await ask(client, where, room)

    assert answer["hubbub"]["recovered"] is False
    assert client.texts(room) == []


def _is_placed(frame: dict[str, Any]) -> bool:
    return frame.get("msg") == "changed" and "hubbub" in frame


async def test_a_removal_while_a_client_comes_back(town: World, room: str) -> None:
    """Whatever comes first: nothing from behind the removal, and in the end no sub."""
    where = await first_visit(town, room)
    witness = await town.client("eve")
    await witness.subscribed("room-messages", room)
    answers = set()
    for number in range(30):
        user = f"{room}-user-{number}"
        town.room(room, user)
        await town.hub.message(room, f"before-{number}")
        client = await town.client(user)
        asking = asyncio.create_task(ask(client, {**where, "seq": town.hub.last - 1}, room))
        await asyncio.sleep(0.0005 * (number % 15))
        end = await town.leave(user, room)
        await town.hub.message(room, f"secret-{number}")
        answers.add((await asking)["msg"])
        await eventually(lambda: witness.texts(room)[-1:] == [f"secret-{number}"], within=20.0)  # noqa: B023
        await client.got(lambda frame: frame.get("msg") == "nosub", within=20.0)
        placed = [frame["hubbub"]["seq"] for frame in client.frames if _is_placed(frame)]
        assert all(place < end for place in placed), (placed, end)
        assert set(client.texts(room)) <= {f"before-{number}"}
        await client.end()
    assert "nosub" in answers


async def test_a_position_older_than_the_log_is_not_recovered(town: World, room: str) -> None:
    where = await first_visit(town, room)
    await town.hub.message(room, "forgotten")
    last = await town.hub.message(room, "kept")
    await forget_before(town, last)
    client = await town.client("bob")

    answer = await ask(client, where, room)

    assert answer["hubbub"] == {"epoch": town.hub.log_epoch, "seq": last, "recovered": False}
    assert client.texts(room) == []


@pytest.mark.parametrize("where", [{"epoch": "log-0"}, {"seq": 2**40}])
async def test_a_position_of_another_log_is_not_recovered(
    town: World, room: str, where: Where
) -> None:
    before = await first_visit(town, room)
    last = await town.hub.message(room, "missed")
    client = await town.client("bob")
    answer = await ask(client, {**before, **where}, room)
    assert answer["hubbub"] == {"epoch": town.hub.log_epoch, "seq": last, "recovered": False}
    assert client.texts(room) == []


@pytest.mark.parametrize(("missed", "recovered"), [(300, True), (301, False)])
async def test_three_hundred_and_no_more(
    town: World, room: str, missed: int, recovered: bool
) -> None:
    where = await first_visit(town, room)
    for number in range(missed):
        await town.hub.message(room, f"m{number}")
    client = await town.client("bob")
    answer = await ask(client, where, room)
    assert answer["hubbub"] == {
        "epoch": town.hub.log_epoch,
        "seq": town.hub.last,
        "recovered": recovered,
    }
    assert len(client.texts(room)) == (missed if recovered else 0)


async def test_a_burst_of_subs_has_a_bound_of_its_own(town: World, room: str) -> None:
    rooms = [f"{room}-{number}" for number in range(4)]
    for room_id in rooms:
        town.room(room_id, "bob")
    start = await first_visit(town, room)
    for room_id in rooms:
        for number in range(260):
            await town.hub.message(room_id, f"m{number}")
    client = await town.client("bob")
    recovered = [(await ask(client, start, one))["hubbub"]["recovered"] for one in rooms]
    assert recovered == [True, True, True, False]
    assert [len(client.texts(one)) for one in rooms] == [260, 260, 260, 0]


async def test_a_malformed_position_is_an_error_and_nothing_else(town: World, room: str) -> None:
    client = await town.client("bob")
    numbers = (-1, 1.5, "1", True, None, 2**53)
    for since in (
        *("now", 7, True, [], {}, {"epoch": "log-1"}, {"seq": 1}, {"epoch": 1, "seq": 1}),
        *({"epoch": "log-1", "seq": number} for number in numbers),
        {"epoch": "x" * 129, "seq": 1},
    ):
        answer = await ask(client, since, room)
        assert answer["msg"] == "nosub", since
        assert answer["error"]["error"] == "error-invalid-since"
    await client.subscribed("room-messages", room)
    await town.hub.message(room, "heard")
    await client.hears("room-messages", room)
    assert not any("hubbub" in frame for frame in client.frames)


async def test_streams_without_recovery_ignore_it(town: World, room: str) -> None:
    client = await town.client("bob")
    for stream, event in (("room-messages", "__my_messages__"), ("notify-user", "bob/message")):
        answer = await ask(client, "whatever", event, stream)
        assert answer["msg"] == "ready"
        assert "hubbub" not in answer


async def test_live_events_during_a_replay_come_behind_it_and_once(town: World, room: str) -> None:
    where = await first_visit(town, room)
    stop, sent = asyncio.Event(), ["heard"]

    async def talk() -> None:
        while not stop.is_set():
            sent.append(f"m{len(sent)}")
            await town.hub.message(room, sent[-1])
            await asyncio.sleep(0.002)

    heard = ["heard"]
    talking = asyncio.create_task(talk())
    for visit in range(25):
        client = await town.client("bob")
        answer = await ask(client, where, room)
        assert answer["hubbub"]["recovered"] is True, (visit, len(sent) - len(heard))
        count = len(client.texts(room))
        await client.hears("room-messages", room, count + 2, within=20.0)
        await client.end()
        heard += client.texts(room)
        places = [f["hubbub"]["seq"] for f in client.frames if "fields" in f and "hubbub" in f]
        where = {**where, "seq": places[-1]}
    stop.set()
    await talking
    assert heard == sent[: len(heard)]
    assert len(heard) > 50


async def test_a_sub_to_what_is_heard_already_is_not_replayed(town: World, room: str) -> None:
    where = await first_visit(town, room)
    await town.hub.message(room, "missed")
    client = await town.client("bob")
    assert (await ask(client, where, room))["hubbub"]["recovered"] is True
    assert (await ask(client, where, room))["hubbub"]["recovered"] is False
    await town.hub.message(room, "live")
    await client.hears("room-messages", room, 2)
    assert client.texts(room) == ["missed", "live"]


async def test_what_a_stale_leader_wrote_is_not_replayed(town: World, room: str) -> None:
    where = await first_visit(town, room)
    stale, town.hub = town.hub, FakeHub(town.hub.client, epoch=town.hub.epoch + 1)
    await stale.message(room, "old")
    await town.hub.begin()
    await stale.message(room, "too late")
    last = await town.hub.message(room, "new")
    town.hub = FakeHub(town.hub.client, epoch=town.hub.epoch + 1)
    await town.hub.begin()
    await town.hub.watermark()
    client = await town.client("bob")
    answer = await ask(client, where, room)
    assert answer["hubbub"] == {"epoch": town.hub.log_epoch, "seq": last, "recovered": True}
    assert client.texts(room) == ["old", "new"]


# --- quiet rooms ----------------------------------------------------------------------------------


async def test_a_quiet_room_can_be_gone_on_with_long_after_its_last_message(
    town: World, room: str
) -> None:
    other = f"{room}-other"
    town.room(other, "bob")
    where = await first_visit(town, room)
    client = await town.client("bob")
    await ask(client, where, room)
    proven = await town.hub.message(other, "elsewhere")
    await town.hub.watermark()
    router = town.streamer.router

    def told() -> Where | None:
        router.tell_positions()
        found = [args[0] for args in client.heard("hubbub", "position")]
        return found[-1] if found and found[-1]["seq"] >= proven else None

    await eventually(lambda: told() is not None, within=20.0)
    place = told()
    await client.end()
    last = await town.hub.message(room, "after a long time")
    await forget_before(town, last)
    again = await town.client("bob")
    answer = await ask(again, place, room)
    assert answer["hubbub"] == {"epoch": town.hub.log_epoch, "seq": last, "recovered": True}
    assert again.texts(room) == ["after a long time"]


# --- the page for authors of clients --------------------------------------------------------------


def _follower() -> Any:
    """The class that docs/howto/come-back.md shows."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names["Follower"]


async def test_the_client_of_the_page_misses_nothing(town: World, room: str) -> None:
    heard: list[str] = []
    fetched: list[str] = []

    async def on_message(message: dict[str, Any]) -> None:
        heard.append(message["_id"])

    async def fetch(room_id: str) -> None:
        fetched.append(room_id)

    town.facts.tokens["token-page"] = "bob"
    url = f"ws://127.0.0.1:{town.streamer.listener.port}/websocket"
    follower = _follower()(url, "token-page", {room}, on_message=on_message, fetch=fetch)
    following = asyncio.create_task(follower.run())
    sent: list[str] = []
    try:
        for visit in range(3):
            await eventually(lambda: room in getattr(follower, "ready", ()), within=20.0)
            follower.ready.clear()
            for socket in list(town.streamer.listener.connections):
                if socket.authenticated:
                    socket.abort()
            for number in range(10):
                sent.append(f"m{visit}-{number}")
                await town.hub.message(room, sent[-1])
            await eventually(lambda: heard == sent, within=20.0)
        assert fetched == [room]
        await eventually(lambda: room in follower.ready, within=20.0)
        town.hub.epoch += 1
        await town.hub.begin(resync=True)
        await eventually(lambda: fetched == [room, room], within=20.0)
        await town.hub.message(room, "and on")
        await eventually(lambda: heard == [*sent, "and on"], within=20.0)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


# --- resync ---------------------------------------------------------------------------------------


async def _two(town: World, room: str) -> tuple[DdpClient, DdpClient, Where]:
    knowing, plain = await town.client("bob"), await town.client("eve")
    where = (await ask(knowing, None, room))["hubbub"]
    await plain.subscribed("room-messages", room)
    await town.hub.message(room, "heard")
    await knowing.hears("room-messages", room)
    await plain.hears("room-messages", room)
    return knowing, plain, {"epoch": where["epoch"], "seq": town.hub.last}


async def _told(knowing: DdpClient, plain: DdpClient) -> list[Any]:
    """Each of them is told in its way, and in no other; what the one is told of."""
    await eventually(lambda: plain.closed == (1012, "SERVICE_RESTART"), within=20.0)
    await knowing.hears("hubbub", "resync", within=20.0)
    assert knowing.closed is None
    assert plain.heard("hubbub", "resync") == []
    return [args[0]["rooms"] for args in knowing.heard("hubbub", "resync")]


async def _goes_on(town: World, room: str, knowing: DdpClient, where: Where) -> None:
    """Nothing of before is gone on with; what comes now is heard, once."""
    answer = await ask(knowing, where, room)
    assert answer["hubbub"]["recovered"] is False
    await town.hub.message(room, "and on")
    await knowing.hears("room-messages", room, 2)
    assert knowing.texts(room) == ["heard", "and on"]
    again = await town.client("bob")
    where = {name: answer["hubbub"][name] for name in ("epoch", "seq")}
    assert (await ask(again, where, room))["hubbub"]["recovered"] is True
    assert again.texts(room) == ["and on"]


async def test_a_marker_with_resync_tells_everybody_once(town: World, room: str) -> None:
    knowing, plain, where = await _two(town, room)
    town.hub.epoch += 1
    await town.hub.begin(resync=True)
    assert await _told(knowing, plain) == ["all"]
    await _goes_on(town, room, knowing, where)


async def test_another_log_tells_everybody_once(town: World, room: str) -> None:
    knowing, plain, where = await _two(town, room)
    epoch = town.hub.epoch + 1
    town.hub = FakeHub(town.hub.client, epoch=epoch, log_epoch="log-2")
    await fresh_log(town.hub.client)
    await town.hub.begin()
    assert await _told(knowing, plain) == ["all"]
    await _goes_on(town, room, knowing, where)


async def test_a_hole_that_cannot_be_filled_tells_those_of_the_room_once(
    town: World, room: str
) -> None:
    other = f"{room}-other"
    town.room(other, "bob")
    knowing, plain, where = await _two(town, room)
    await ask(knowing, None, other)
    gone = await town.hub.message("elsewhere", "makes room")
    await town.hub.watermark()  # the next one is in time then
    town.hub.tops[room_audience(room)] = gone  # told of, and not in the log
    await town.hub.watermark()
    assert await _told(knowing, plain) == [[room]]
    await town.hub.message(other, "still heard")
    await knowing.hears("room-messages", other)
    await _goes_on(town, room, knowing, where)
