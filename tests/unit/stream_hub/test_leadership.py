"""The lease, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from hubbub.clock import FakeClock
from services.stream_hub.leadership import Leadership
from services.stream_hub.settings import StreamHubSettings
from services.stream_hub.store import Checkpoint, LogIdentity
from services.stream_hub.term import LeadershipLost
from tests.unit.stream_hub.fakes import FakeLeaseStore, metrics, until

SETTINGS = StreamHubSettings()


def _leadership(store: FakeLeaseStore, holder: str, clock: FakeClock | None = None) -> Leadership:
    return Leadership(
        store,
        SETTINGS,
        holder=holder,
        clock=clock or store.clock,
        metrics=metrics(),
        vary=lambda: 0.5,
    )


async def test_a_standby_leads_when_the_lease_ran_out() -> None:
    clock = FakeClock()
    store = FakeLeaseStore(clock, holder="dead", epoch=7, expires=4.0)
    term = await _leadership(store, "standby").acquire()
    assert term.epoch == 8
    assert 4.0 <= clock.monotonic() <= 4.0 + SETTINGS.lease_retry
    assert set(clock.pauses) == {SETTINGS.lease_retry}


async def test_a_standby_varies_its_pauses_by_a_fifth() -> None:
    clock, varied = FakeClock(), iter([0.0, 1.0] * 5)
    store = FakeLeaseStore(clock, holder="other", epoch=1, expires=2.0)
    leadership = Leadership(
        store, SETTINGS, holder="me", clock=clock, metrics=metrics(), vary=lambda: next(varied)
    )
    await leadership.acquire()
    assert min(clock.pauses) == pytest.approx(0.4)
    assert max(clock.pauses) == pytest.approx(0.6)


async def test_each_term_has_a_higher_epoch() -> None:
    store = FakeLeaseStore(FakeClock())
    leadership = _leadership(store, "me")
    first = await leadership.acquire()
    await leadership.release(first)
    assert (await leadership.acquire()).epoch == first.epoch + 1


async def test_an_unreachable_database_is_asked_again() -> None:
    clock = FakeClock()
    store = FakeLeaseStore(clock, away=True)
    waiting = asyncio.ensure_future(_leadership(store, "me").acquire())
    await until(lambda: clock.monotonic() >= 3.0)
    store.away = False
    assert (await waiting).epoch == 1


async def _keep_until(leadership: Leadership, store: FakeLeaseStore, moment: float) -> None:
    """Renew until the clock shows `moment`, then stop."""
    term = await leadership.acquire()
    keeping = asyncio.ensure_future(leadership.keep(term))
    await until(lambda: store.clock.monotonic() >= moment or keeping.done())
    keeping.cancel()
    with pytest.raises((asyncio.CancelledError, LeadershipLost)):
        await keeping


async def test_an_idle_leader_renews_once_per_second() -> None:
    store = FakeLeaseStore(FakeClock())
    await _keep_until(_leadership(store, "me"), store, 10.0)
    assert len(store.renewals) in (9, 10)


async def test_the_checkpoint_is_saved_more_often_while_events_flow() -> None:
    store = FakeLeaseStore(FakeClock())
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    keeping = asyncio.ensure_future(leadership.keep(term))
    while store.clock.monotonic() < 4.0:
        term.checkpoint = replace(term.checkpoint, sequence=term.checkpoint.sequence + 1)
        await asyncio.sleep(0)
    keeping.cancel()
    assert len(store.renewals) >= 14
    assert store.checkpoint.sequence >= term.checkpoint.sequence - 2


async def test_the_fence_falls_without_renewals() -> None:
    """Three seconds after the last successful one was sent, well before another may lead."""
    clock = FakeClock()
    store = FakeLeaseStore(clock)
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    store.away = True
    with pytest.raises(LeadershipLost, match="expired"):
        await leadership.keep(term)
    assert not term.held
    assert SETTINGS.lease_fence <= clock.monotonic() < SETTINGS.lease_ttl


async def test_the_fence_counts_from_sending_not_from_the_answer() -> None:
    clock = FakeClock()
    store = FakeLeaseStore(clock)
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    store.slow = 1.5
    await leadership.save(term)  # answered 1.5 s after it was sent
    store.slow = 0.0
    clock.advance(SETTINGS.lease_fence - 1.5 - 0.01)
    assert term.held
    clock.advance(0.02)
    assert not term.held


async def test_a_failed_renewal_is_tried_again_at_once() -> None:
    clock = FakeClock()
    store = FakeLeaseStore(clock)
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    keeping = asyncio.ensure_future(leadership.keep(term))
    store.away = True
    await until(lambda: clock.monotonic() >= 2.0)
    store.away = False
    await until(lambda: bool(store.renewals))
    assert store.renewals[0] < 2.6
    assert term.held
    keeping.cancel()


async def test_a_frozen_leader_wakes_up_fenced() -> None:
    """The process slept for ten seconds: it must not publish, whatever it believes."""
    clock = FakeClock()
    store = FakeLeaseStore(clock)
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    term.check()
    clock.advance(10.0)
    with pytest.raises(LeadershipLost):
        term.check()
    with pytest.raises(LeadershipLost):
        await leadership.keep(term)
    assert store.renewals == []


async def test_a_lease_that_somebody_took_ends_the_term_at_once() -> None:
    store = FakeLeaseStore(FakeClock())
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    store.holder, store.epoch = "other", store.epoch + 1
    with pytest.raises(LeadershipLost, match="taken"):
        await leadership.keep(term)
    with pytest.raises(LeadershipLost, match="taken"):
        term.check()


async def test_a_polite_release_hands_over_at_once() -> None:
    clock = FakeClock()
    store = FakeLeaseStore(clock)
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    term.checkpoint = Checkpoint({"_data": "82"}, 17, "82:0", term.epoch)
    await leadership.release(term)
    assert not term.held
    successor = await _leadership(store, "next").acquire()
    assert successor.checkpoint.sequence == 17
    assert clock.monotonic() == 0.0


async def test_a_term_that_was_lost_is_not_released() -> None:
    """Its checkpoint may be older than the successor's."""
    clock = FakeClock()
    store = FakeLeaseStore(clock)
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    clock.advance(5.0)
    term.checkpoint = Checkpoint({"_data": "81"}, 1, "81:0", term.epoch)
    await leadership.release(term)
    assert store.checkpoint.sequence == 0


async def test_a_renewal_that_arrived_late_does_not_keep_everybody_waiting() -> None:
    """A database that stood still takes the renewal after its sender gave up."""
    clock = FakeClock()
    store = FakeLeaseStore(clock)
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    clock.advance(SETTINGS.lease_fence)
    assert await store.renew("me", term.epoch, SETTINGS.lease_ttl, None)
    await leadership.release(term)

    assert (await leadership.acquire()).epoch == term.epoch + 1
    assert clock.monotonic() == SETTINGS.lease_fence


async def test_a_lost_lease_of_another_stays_with_the_other() -> None:
    clock = FakeClock()
    store = FakeLeaseStore(clock)
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    clock.advance(SETTINGS.lease_ttl)
    successor = await _leadership(store, "next").acquire()
    await leadership.release(term)

    assert successor.held
    assert await store.is_held()


async def test_which_log_it_is_outlives_the_term() -> None:
    store = FakeLeaseStore(FakeClock())
    leadership = _leadership(store, "me")
    term = await leadership.acquire()
    await leadership.save_log(term, LogIdentity("then", 3))
    assert term.log.epoch == "then/3"
    await leadership.release(term)
    assert (await leadership.acquire()).log == LogIdentity("then", 3)
