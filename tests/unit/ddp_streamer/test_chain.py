"""One audience's chain: every event once, in order, whatever the network does."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from hubbub.contracts.event_log import Audience, Kind, Marker
from services.ddp_streamer.audiences.chain import MAX_HELD, MAX_HELD_BYTES, Chain, Lost
from services.ddp_streamer.audiences.event import Event
from services.ddp_streamer.audiences.leaders import Leaders


@dataclass(frozen=True)
class Numbered:
    sequence: int
    last_sequence: int = 0
    id: str = "a"
    payload: bytes = b""


def started(base: int = 0, *, linked: bool = True) -> Chain[Numbered]:
    chain: Chain[Numbered] = Chain(linked=linked)
    assert list(chain.start(base)) == []
    return chain


def sequences(events: object) -> list[int]:
    assert isinstance(events, list | tuple)
    return [event.sequence for event in events]


def test_events_that_follow_each_other_pass_at_once() -> None:
    chain = started(4)
    assert sequences(chain.take(Numbered(9, 4))) == [9]
    assert sequences(chain.take(Numbered(12, 9))) == [12]
    assert chain.flowing


def test_a_repeated_event_does_not_pass_again() -> None:
    chain = started()
    chain.take(Numbered(3, 0))
    assert sequences(chain.take(Numbered(3, 0))) == []


def test_a_predecessor_that_expired_is_no_hole() -> None:
    chain = started(500)
    assert sequences(chain.take(Numbered(900, 0))) == [900]


def test_a_hole_holds_what_follows_until_it_is_filled() -> None:
    chain = started(1)
    assert sequences(chain.take(Numbered(5, 3))) == []
    assert sequences(chain.take(Numbered(6, 5))) == []
    assert chain.missing
    assert sequences(chain.fetched(Numbered(3))) == [3, 5, 6]
    assert chain.flowing
    assert chain.held_bytes == 0


def test_a_second_hole_behind_the_first_is_found() -> None:
    chain = started(1)
    chain.take(Numbered(5, 3))
    chain.take(Numbered(9, 7))
    assert sequences(chain.fetched(Numbered(3))) == [3, 5]
    assert not chain.flowing
    assert sequences(chain.fetched(Numbered(7))) == [7, 9]
    assert chain.flowing


def test_a_log_that_ends_before_the_known_event_proves_nothing() -> None:
    chain = started(1)
    chain.take(Numbered(5, 3))
    assert sequences(chain.reached_end()) == []
    assert chain.missing


def test_a_suspected_chain_holds_even_what_fits() -> None:
    chain = started(1)
    chain.suspect()
    assert sequences(chain.take(Numbered(2, 1))) == []
    assert sequences(chain.prove(2)) == []
    assert sequences(chain.fetched(Numbered(2))) == [2]
    assert chain.flowing


def test_a_proven_top_lets_held_events_pass() -> None:
    chain = started(1)
    chain.suspect()
    chain.take(Numbered(2, 1))
    assert sequences(chain.prove(1)) == [2]


def test_a_watermark_finds_a_lost_tail() -> None:
    chain = started(1)
    assert sequences(chain.prove(7)) == []
    assert not chain.flowing
    assert sequences(chain.fetched(Numbered(7))) == [7]


def test_opening_forgets_what_came_before_the_base() -> None:
    chain: Chain[Numbered] = Chain()
    chain.take(Numbered(5, 4))
    chain.take(Numbered(6, 5))
    assert sequences(chain.start(5)) == [6]


def test_a_wildcard_reads_to_the_end_of_the_log() -> None:
    chain = started(3, linked=False)
    assert sequences(chain.take(Numbered(9, 8))) == [9]  # 8 is of another room
    chain.suspect()
    assert sequences(chain.take(Numbered(14, 2))) == []
    assert sequences(chain.fetched(Numbered(11))) == [11]
    assert sequences(chain.reached_end()) == [14]
    assert chain.flowing


def test_too_many_held_events_are_a_loss() -> None:
    chain = started(1)
    for sequence in range(10, 10 + MAX_HELD):
        chain.take(Numbered(sequence, sequence - 1))
    with pytest.raises(Lost):
        chain.take(Numbered(10 + MAX_HELD, 9 + MAX_HELD))


def test_too_many_held_bytes_are_a_loss() -> None:
    chain = started(1)
    chain.take(Numbered(10, 9, payload=bytes(MAX_HELD_BYTES)))
    with pytest.raises(Lost):
        chain.take(Numbered(11, 10, payload=b"x"))


def test_another_event_in_a_known_place_is_another_log() -> None:
    chain = started(1)
    chain.take(Numbered(2, 1, id="first"))
    with pytest.raises(Lost):
        chain.take(Numbered(2, 1, id="second"))


AUDIENCES = [Audience("room.a"), Audience("room.b"), Audience("user.c")]


class Network(RuleBasedStateMachine):
    """A log, a network that loses and repeats, and a streamer that repairs.

    Whatever happens, what was delivered is what the log says: its valid events, once, in order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.log: list[Event] = []
        self.markers: list[tuple[int, int]] = []  # (epoch, sequence)
        self.epoch = 1
        self.sequence = 0
        self.leaders = Leaders()
        self.chains: dict[Audience, Chain[Event]] = {a: Chain() for a in AUDIENCES}
        self.flying: dict[Audience, list[Event]] = {a: [] for a in AUDIENCES}
        self.delivered: dict[Audience, list[int]] = {a: [] for a in AUDIENCES}
        for chain in self.chains.values():
            chain.start(0)
        self._mark()

    def _mark(self) -> None:
        self.sequence += 1
        self.markers.append((self.epoch, self.sequence))
        marker = Marker(epoch=self.epoch, holder="hub", log_epoch="one")
        self.leaders.mark(marker, self.sequence)

    def _publish(self, audience: Audience, epoch: int) -> None:
        self.sequence += 1
        last = max((e.sequence for e in self.log if e.audience == audience), default=0)
        event = Event(
            audience, self.sequence, last, epoch, str(self.sequence), Kind.FRAME, "s", "k", {}, b"x"
        )
        self.log.append(event)
        self.flying[audience].append(event)

    def _pass(self, audience: Audience, events: object) -> None:
        assert isinstance(events, list | tuple)
        self.delivered[audience] += [
            event.sequence for event in events if self.leaders.counts(event)
        ]

    def _valid(self, audience: Audience, upto: int) -> list[int]:
        return [
            event.sequence
            for event in self.log
            if event.audience == audience
            and event.sequence <= upto
            and all(epoch <= event.epoch for epoch, place in self.markers if place < event.sequence)
        ]

    @rule(audience=st.sampled_from(AUDIENCES))
    def publish(self, audience: Audience) -> None:
        self._publish(audience, self.epoch)

    @precondition(lambda self: self.epoch > 1)
    @rule(audience=st.sampled_from(AUDIENCES))
    def publish_by_a_leader_of_yesterday(self, audience: Audience) -> None:
        self._publish(audience, self.epoch - 1)

    @rule()
    def another_hub_leads(self) -> None:
        self.epoch += 1
        self._mark()

    @rule(audience=st.sampled_from(AUDIENCES), twice=st.booleans())
    def arrive(self, audience: Audience, twice: bool) -> None:
        if self.flying[audience]:
            event = self.flying[audience].pop(0)
            self._pass(audience, self.chains[audience].take(event))
            if twice:
                self._pass(audience, self.chains[audience].take(event))

    @rule(audience=st.sampled_from(AUDIENCES))
    def vanish(self, audience: Audience) -> None:
        if self.flying[audience]:
            self.flying[audience].pop(0)

    @rule()
    def connection_cut(self) -> None:
        for audience in AUDIENCES:
            self.flying[audience].clear()
            self.chains[audience].suspect()

    @rule(audience=st.sampled_from(AUDIENCES))
    def tops_are_read(self, audience: Audience) -> None:
        self._prove(audience)

    @rule(audience=st.sampled_from(AUDIENCES), most=st.integers(1, 3))
    def log_is_read(self, audience: Audience, most: int) -> None:
        self._read(audience, most)

    def _prove(self, audience: Audience) -> None:
        top = max((e.sequence for e in self.log if e.audience == audience), default=0)
        self._pass(audience, self.chains[audience].prove(top))

    def _read(self, audience: Audience, most: int) -> None:
        chain = self.chains[audience]
        if chain.flowing:
            return
        behind = [e for e in self.log if e.audience == audience and e.sequence > chain.last]
        for event in behind[:most]:
            self._pass(audience, chain.fetched(event))
        if len(behind) <= most:
            self._pass(audience, chain.reached_end())

    @invariant()
    def delivered_is_what_the_log_says(self) -> None:
        for audience, chain in self.chains.items():
            assert self.delivered[audience] == self._valid(audience, chain.last)

    def teardown(self) -> None:
        for audience in AUDIENCES:
            for event in self.flying[audience]:
                self._pass(audience, self.chains[audience].take(event))
            self._prove(audience)
            for _ in range(len(self.log) + 1):
                self._read(audience, 2)
            assert self.chains[audience].flowing
            assert self.delivered[audience] == self._valid(audience, self.sequence)


TestNetwork = Network.TestCase
TestNetwork.settings = settings(max_examples=150, stateful_step_count=40)
