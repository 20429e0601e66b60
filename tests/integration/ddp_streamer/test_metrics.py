"""Holes in what arrives, and how they end, are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

import pytest

from hubbub.contracts.event_log import LOG_STREAM
from services.ddp_streamer.audiences import ALL_ROOMS, Audiences
from tests.integration.ddp_streamer.harness import Cable, Ear, FakeHub, connected, fresh_log
from tests.integration.ddp_streamer.test_audiences import FAST, ROOM, Loss, Stage
from tests.waiting import eventually

pytestmark = pytest.mark.integration


@dataclass
class Counts:
    """What audiences told, in order."""

    gaps: int = 0
    recoveries: list[tuple[str, int]] = field(default_factory=list)
    filtered: list[str] = field(default_factory=list)

    def gap(self) -> None:
        self.gaps += 1

    def recovery(self, outcome: str, events: int) -> None:
        self.recoveries.append((outcome, events))


@pytest.fixture
async def counts() -> Counts:
    return Counts()


@pytest.fixture
async def stage(nats_url: str, counts: Counts) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        direct = await stack.enter_async_context(connected(nats_url))
        await fresh_log(direct)
        hub, ear = FakeHub(direct), Ear()
        await hub.begin()
        cable = await stack.enter_async_context(Cable(nats_url))
        client = await stack.enter_async_context(connected(cable.url))
        audiences = await stack.enter_async_context(
            Audiences(
                client,
                ear,
                patience=FAST,
                on_gap=counts.gap,
                on_recovery=counts.recovery,
                on_filtered=counts.filtered.append,
            )
        )
        yield Stage(hub, ear, audiences, cable, client)


async def test_a_hole_that_is_filled(stage: Stage, counts: Counts) -> None:
    """One gap, one recovery with as many events as were missing; what was there is no gap."""
    await stage.audiences.acquire([ROOM])
    await stage.hub.message("R1", "m0")
    await eventually(lambda: len(stage.ear.events) == 1)
    assert counts == Counts()
    with Loss(stage, ROOM) as loss:
        for number in range(1, 6):
            await stage.hub.message("R1", f"m{number}")
        await eventually(lambda: len(loss.payloads) == 5)
    await stage.hub.message("R1", "m6")

    await eventually(lambda: len(stage.ear.events) == 7)
    await eventually(lambda: counts.recoveries)
    assert counts.gaps == 1
    [(outcome, events)] = counts.recoveries
    assert outcome == "full"
    assert events in (5, 6)  # the last one may be in the log already when it is read


async def test_a_doubt_without_a_hole_is_no_gap(stage: Stage, counts: Counts) -> None:
    """A wildcard has no tops: it is read after every doubt, and mostly for nothing."""
    await stage.audiences.acquire([ROOM, ALL_ROOMS])
    await stage.hub.message("R1", "m0")
    await eventually(lambda: len(stage.ear.events) == 1 and len(stage.ear.wild) == 1)
    stage.audiences.doubt("a test wants to know")

    await eventually(lambda: counts.recoveries)
    assert counts.recoveries == [("not_needed", 0)]
    assert counts.gaps == 0


async def test_a_hole_that_cannot_be_filled(stage: Stage, counts: Counts) -> None:
    await stage.audiences.acquire([ROOM])
    await stage.hub.message("R1", "m0")
    await eventually(lambda: len(stage.ear.events) == 1)
    with Loss(stage, ROOM) as loss:
        sequence = await stage.hub.message("R1", "gone")
        await eventually(lambda: len(loss.payloads) == 1)
    await stage.hub.client.jetstream().delete_msg(LOG_STREAM, sequence)
    await stage.hub.watermark()

    await eventually(lambda: ROOM in stage.ear.lost)
    assert counts.gaps == 1
    assert [outcome for outcome, _ in counts.recoveries] == ["failed"]


async def test_a_hole_that_nobody_waits_for_any_more(stage: Stage, counts: Counts) -> None:
    """It harms nobody, and is not to alarm anybody."""
    patience = replace(FAST, missing=60.0)
    async with Audiences(
        stage.client,
        stage.ear,
        linger=0.0,
        patience=patience,
        on_gap=counts.gap,
        on_recovery=counts.recovery,
    ) as audiences:
        await audiences.acquire([ROOM])
        stage = replace(stage, audiences=audiences)
        with Loss(stage, ROOM) as loss:
            sequence = await stage.hub.message("R1", "gone")
            await eventually(lambda: len(loss.payloads) == 1)
        await stage.hub.client.jetstream().delete_msg(LOG_STREAM, sequence)
        await stage.hub.watermark()
        interest = audiences._interests.get(ROOM)
        assert interest is not None
        await eventually(lambda: interest.repair is not None)

        audiences.release(ROOM)

        await eventually(lambda: interest.repair is None, within=20)
    assert stage.ear.lost == []
    assert counts == Counts()


async def test_another_log(stage: Stage, counts: Counts) -> None:
    await stage.audiences.acquire([ROOM])
    stage.hub.epoch += 1
    await stage.hub.begin(resync=True)

    await eventually(lambda: ROOM in stage.ear.lost)
    assert {outcome for outcome, _ in counts.recoveries} == {"epoch_changed"}
    assert counts.gaps == 0


async def test_a_window_that_has_passed(stage: Stage, counts: Counts) -> None:
    await stage.audiences.acquire([ROOM])
    last = 0
    with Loss(stage, ROOM) as loss:
        for number in range(5):
            last = await stage.hub.message("R1", f"m{number}")
        await eventually(lambda: len(loss.payloads) == 5)
    await stage.hub.client.jetstream().purge_stream(LOG_STREAM, seq=last)
    stage.audiences.doubt("a test wants to know")

    await eventually(lambda: ROOM in stage.ear.lost)
    assert {outcome for outcome, _ in counts.recoveries} == {"too_old"}


async def test_what_a_deposed_hub_writes(stage: Stage, counts: Counts) -> None:
    await stage.audiences.acquire([ROOM])
    successor = FakeHub(stage.hub.client, epoch=stage.hub.epoch + 1)
    await successor.begin()
    await stage.hub.message("R1", "of the old one")
    await successor.message("R1", "of the new one")

    await eventually(lambda: len(stage.ear.events) == 1)
    assert counts.filtered == ["stale_epoch"]
