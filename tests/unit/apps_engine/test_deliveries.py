"""Events come to every app at its own pace: who is behind for a moment, and who stays behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from hubbub.apps.manifest import Manifest
from hubbub.clock import SystemClock
from hubbub.contracts.event_log import LOG_SUBJECTS, Header, Kind, room_audience
from hubbub.ddp import ejson
from hubbub.ddp.stream import stream_frame
from hubbub.ids import RoomId, UserId
from services.apps_engine import deliveries
from services.apps_engine.bot_rooms import BotRooms
from services.apps_engine.bridge import Bridge, Who
from services.apps_engine.deliveries import Deliveries
from services.apps_engine.log_reader import Entry
from services.apps_engine.metrics import AppsMetrics
from services.apps_engine.running import Declared, RunningApp
from tests.waiting import eventually

MANIFEST = Manifest.parse(
    'id = "hearer"\nname = "H"\nversion = "1.0.0"\npermissions = ["message.read", "room.read-all"]'
)
WAITING = 4
NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Hearing:
    """An app that hears at its own pace, or not at all while it is held."""

    def __init__(self, pause: float = 0.0) -> None:
        self.heard: list[str] = []
        self.pause = pause
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def call(self, name: str, args: dict[str, Any], deadline: float | None = None) -> Any:
        await asyncio.sleep(self.pause)
        await self.go_on.wait()
        self.heard.append(args["payload"]["message"]["_id"])

    async def run(self) -> None:
        return

    async def stop(self) -> None:
        return


class House:
    """Some apps, and the log that they hear of."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = AppsMetrics(self.registry)
        self.apps: dict[str, RunningApp] = {}
        self.done: list[str] = []
        self.deliveries = Deliveries(
            lambda: self.apps,
            BotRooms(cast(Any, None), SystemClock()),
            cast(Any, None),
            SystemClock(),
            WAITING,
        )

    def app(self, name: str, kept: Hearing) -> Hearing:
        rights = frozenset(MANIFEST.permissions)
        who = Who(name, UserId(f"{name}.bot"), f"{name}.bot", rights)
        declared = Declared(events=frozenset({"message_sent"}))
        bridge = cast(Bridge, None)
        self.apps[name] = RunningApp(who, MANIFEST, bridge, kept, self.metrics, declared)
        return kept

    async def say(self, *ids: str) -> None:
        """Messages come from the log, one after the other."""
        for message_id in ids:
            said = {"_id": message_id, "rid": "r", "msg": "x", "u": {"_id": "ana"}}
            args = [said | {"ts": NOW, "_updatedAt": NOW}]
            message = SimpleNamespace(
                subject=f"{LOG_SUBJECTS}{room_audience(RoomId('r'))}",
                headers={
                    Header.KIND: Kind.FRAME.value,
                    Header.STREAM: "room-messages",
                    Header.KEY: "r",
                },
                data=stream_frame("room-messages", "r", ejson.dumps(args)),
            )
            entry = Entry(cast(Any, message), self._is_done(message_id))
            await self.deliveries.handle(entry)
            entry.release()

    def _is_done(self, message_id: str) -> Callable[[Entry], None]:
        return lambda _: self.done.append(message_id)

    def dropped(self, name: str) -> float:
        labels = {"app": name, "hook": "event", "outcome": "dropped"}
        return self.registry.get_sample_value("hubbub_app_calls_total", labels) or 0.0


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(deliveries, "_MOVING", 3.0)  # a busy machine may stand still for a moment
    house = House()
    yield house
    await house.deliveries.close()


IDS = [f"m{number}" for number in range(50)]


async def test_what_comes_at_once_is_waited_for(house: House) -> None:
    """Far more than may wait, as after a start of the engine."""
    quick, slow = house.app("quick", Hearing()), house.app("slow", Hearing(0.005))

    await house.say(*IDS)
    await eventually(lambda: house.done == IDS)

    assert slow.heard == quick.heard == IDS
    assert house.dropped("slow") == 0


async def test_nobody_waits_for_who_does_not_move(house: House) -> None:
    quick, stuck = house.app("quick", Hearing()), house.app("stuck", Hearing())
    stuck.go_on.clear()

    await house.say(*IDS)
    await eventually(lambda: quick.heard == IDS)
    assert house.dropped("stuck") == len(IDS) - WAITING - 1
    stuck.go_on.set()
    await eventually(lambda: len(house.done) == len(IDS))

    assert stuck.heard == IDS[: WAITING + 1]


async def test_what_waited_for_an_app_that_was_stopped_is_done_with(house: House) -> None:
    """Else the log would wait for it for ever."""
    stuck = house.app("stuck", Hearing())
    stuck.go_on.clear()
    await house.say(*IDS[:3])
    await asyncio.sleep(0)
    assert house.done == []

    del house.apps["stuck"]
    house.deliveries.ended("stuck")

    assert sorted(house.done) == IDS[:3]


async def test_what_waited_when_the_engine_ends_comes_again(house: House) -> None:
    stuck = house.app("stuck", Hearing())
    stuck.go_on.clear()
    await house.say(*IDS[:3])

    await house.deliveries.close()

    assert house.done == []
