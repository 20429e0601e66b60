"""Deadline, retry, circuit breaker and bulkhead, each alone with a clock of its own."""

from __future__ import annotations

import pytest

from hubbub.bus.breaker import LEAST_REQUESTS, NOBODY_PAUSE, PAUSE, WINDOW, Breaker, CircuitState
from hubbub.bus.bulkhead import Bulkhead, Overflow
from hubbub.bus.deadline import HOP, call_deadline, milliseconds, work_deadline
from hubbub.bus.retry import RetryBudget, SilenceBudget, pause_before
from hubbub.clock import FakeClock
from hubbub.errors import Timeout


def test_each_hop_keeps_ten_milliseconds() -> None:
    """A call ends before the request that it belongs to."""
    assert call_deadline(100.0, 5.0, None, "a.b") == 105.0
    assert call_deadline(100.0, 5.0, 102.0, "a.b") == 102.0 - HOP
    assert call_deadline(100.0, 1.0, 102.0, "a.b") == 101.0


def test_a_request_without_time_left_calls_nobody() -> None:
    """It fails before anything is sent."""
    with pytest.raises(Timeout, match=r"a\.b"):
        call_deadline(100.0, 5.0, 100.0 + HOP, "a.b")


@pytest.mark.parametrize(
    ("patience_ms", "expected"),
    [
        pytest.param(0, 14.0, id="not said"),
        pytest.param(2_000, 11.0, id="the caller's is nearer"),
        pytest.param(900_000, 14.0, id="our own is nearer"),
        pytest.param(1_000, None, id="over"),
        pytest.param(999, None, id="long over"),
        pytest.param(-1, None, id="over when it came"),
    ],
)
def test_the_callee_works_until_the_nearer_deadline(
    patience_ms: int, expected: float | None
) -> None:
    """Counted from the arrival, here a second ago; an expired request is not begun."""
    assert work_deadline(10.0, 9.0, patience_ms, 5.0) == expected


def test_waiting_is_counted_against_both_limits() -> None:
    """A request that stood in line for as long as it may take is not begun."""
    assert work_deadline(10.0, 5.0, 0, 5.0) is None


def test_patience_is_never_nothing() -> None:
    """Nothing would mean that it was not said."""
    assert [milliseconds(seconds) for seconds in (5.0, 0.0101, 0.0002, -1.0)] == [5_000, 10, 1, 1]


def test_pauses_double_up_to_a_second() -> None:
    """100 ms, 200, 400, 800, 1 s, 1 s; jitter takes any share of that."""
    assert [pause_before(n, lambda: 1.0) for n in range(2, 8)] == pytest.approx(
        [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    )
    assert pause_before(4, lambda: 0.5) == pytest.approx(0.2)
    assert pause_before(4, lambda: 0.0) == 0.0


def test_silence_is_answered_for_a_tenth_of_the_calls() -> None:
    """Beyond a reserve, a slow callee does not get its work twice."""
    budget = SilenceBudget(ratio=0.1, reserve=3.0)

    assert [budget.spend() for _ in range(4)] == [True, True, True, False]
    for _ in range(11):
        budget.earn()
    assert [budget.spend() for _ in range(2)] == [True, False]


class TestBreaker:
    """Closed, open, half-open."""

    @pytest.fixture
    def clock(self) -> FakeClock:
        return FakeClock()

    @pytest.fixture
    def breaker(self, clock: FakeClock) -> Breaker:
        return Breaker(clock.monotonic)

    def opened(self, breaker: Breaker) -> None:
        for _ in range(LEAST_REQUESTS):
            assert breaker.admit()
            breaker.failed()
        assert breaker.state is CircuitState.OPEN

    def test_few_failures_prove_nothing(self, breaker: Breaker) -> None:
        """Under twenty requests it stays closed."""
        for _ in range(LEAST_REQUESTS - 1):
            breaker.failed()

        assert breaker.admit()

    @pytest.mark.parametrize(
        ("failures", "state"), [(9, CircuitState.CLOSED), (10, CircuitState.OPEN)]
    )
    def test_half_must_fail(self, breaker: Breaker, failures: int, state: CircuitState) -> None:
        """Ten of twenty open it, nine do not."""
        for _ in range(LEAST_REQUESTS - failures):
            breaker.succeeded()
        for _ in range(failures):
            breaker.failed()

        assert breaker.state is state
        assert breaker.admit() is (state is CircuitState.CLOSED)

    def test_old_failures_are_forgotten(self, breaker: Breaker, clock: FakeClock) -> None:
        """Only the last minute counts."""
        for _ in range(LEAST_REQUESTS - 1):
            breaker.failed()
        clock.advance(WINDOW + 5)
        breaker.failed()

        assert breaker.state is CircuitState.CLOSED

    def test_failures_within_the_window_add_up(self, breaker: Breaker, clock: FakeClock) -> None:
        """However they are spread over it."""
        for _ in range(LEAST_REQUESTS):
            breaker.failed()
            clock.advance(WINDOW / (LEAST_REQUESTS + 5))

        assert breaker.state is CircuitState.OPEN

    def test_who_is_not_there_is_looked_for_every_second(
        self, breaker: Breaker, clock: FakeClock
    ) -> None:
        """As long as the broker says so; a callee that is there and fails has its ten seconds."""
        for _ in range(LEAST_REQUESTS):
            breaker.failed(nobody=True)
        assert not breaker.admit()
        for _ in range(3):
            clock.advance(NOBODY_PAUSE)
            assert breaker.admit()
            assert not breaker.admit()
            breaker.failed(nobody=True)
        clock.advance(NOBODY_PAUSE)
        assert breaker.admit()
        breaker.failed()

        clock.advance(NOBODY_PAUSE)
        assert not breaker.admit()
        clock.advance(PAUSE - NOBODY_PAUSE)
        assert breaker.admit()

    def test_one_probe_after_ten_seconds(self, breaker: Breaker, clock: FakeClock) -> None:
        """Not before, and not two at once."""
        self.opened(breaker)
        clock.advance(PAUSE - 0.001)
        assert not breaker.admit()
        clock.advance(0.001)

        assert breaker.admit()
        assert breaker.state is CircuitState.HALF_OPEN
        assert not breaker.admit()

    def test_a_good_probe_closes_it(self, breaker: Breaker, clock: FakeClock) -> None:
        """And the old failures are gone."""
        self.opened(breaker)
        clock.advance(PAUSE)
        assert breaker.admit()
        breaker.succeeded()

        assert breaker.state is CircuitState.CLOSED
        breaker.failed()
        assert breaker.admit()

    def test_a_bad_probe_opens_it_again(self, breaker: Breaker, clock: FakeClock) -> None:
        """For another ten seconds."""
        self.opened(breaker)
        clock.advance(PAUSE)
        assert breaker.admit()
        breaker.failed()

        assert not breaker.admit()
        clock.advance(PAUSE)
        assert breaker.admit()

    def test_an_abandoned_probe_gives_its_place_back(
        self, breaker: Breaker, clock: FakeClock
    ) -> None:
        """A cancelled probe must not leave the circuit half-open for ever."""
        self.opened(breaker)
        clock.advance(PAUSE)
        assert breaker.admit()
        breaker.abandoned()

        assert breaker.admit()


class TestBulkhead:
    """Places and a queue."""

    def make(self, *, running: int = 2, waiting: int = 2, limit: int = 1000) -> None:
        self.started: list[str] = []
        self.overflow = Overflow(limit)
        self.over_at_once: set[str] = set()

        def start(item: str) -> bool:
            self.started.append(item)
            return item not in self.over_at_once

        self.bulkhead: Bulkhead[str] = Bulkhead(
            start, len, running=running, waiting=waiting, overflow=self.overflow
        )

    def test_places_then_queue_then_no(self) -> None:
        """Two run, two wait, the fifth is refused."""
        self.make()

        assert [self.bulkhead.enter(item) for item in "abcde"] == [True] * 4 + [False]
        assert self.started == ["a", "b"]
        assert (self.bulkhead.running, self.bulkhead.waiting) == (2, 2)

    def test_the_longest_waiting_comes_next(self) -> None:
        """In order of arrival, and places are free again in the end."""
        self.make()
        for item in "abcd":
            self.bulkhead.enter(item)
        for _ in range(4):
            self.bulkhead.done()

        assert self.started == ["a", "b", "c", "d"]
        assert (self.bulkhead.running, self.bulkhead.waiting) == (0, 0)
        assert self.overflow.waiting == 0

    def test_what_is_over_at_once_takes_no_place(self) -> None:
        """An expired or invalid call makes way for the next, however many there are."""
        self.make(running=1, waiting=5000, limit=100_000)
        self.over_at_once = {"x"}
        assert self.bulkhead.enter("x")
        assert self.bulkhead.running == 0
        self.bulkhead.enter("a")
        for _ in range(4000):
            self.bulkhead.enter("x")
        self.bulkhead.enter("b")
        self.bulkhead.done()

        assert self.started[-1] == "b"
        assert (self.bulkhead.running, self.bulkhead.waiting) == (1, 0)

    def test_waiting_bytes_are_bounded_together(self) -> None:
        """Large requests of several actions share one limit."""
        self.make(running=0, waiting=100, limit=10)

        assert self.bulkhead.enter("12345678")
        assert not self.bulkhead.enter("123")
        assert self.bulkhead.enter("12")
        assert self.bulkhead.empty() == ["12345678", "12"]
        assert self.overflow.waiting == 0


def test_failures_are_repeated_within_a_budget() -> None:
    """A tenth of the calls of ten seconds, and ten per second; what is older does not count."""
    budget = RetryBudget()
    now = 100.0
    assert sum(budget.spend(now) for _ in range(500)) == 100
    for _ in range(1_000):
        budget.earn(now + 1)
    assert sum(budget.spend(now + 1) for _ in range(500)) == 100
    assert not budget.spend(now + 9.9)
    assert sum(budget.spend(now + 10.5) for _ in range(500)) == 100  # the first hundred is old
    assert sum(budget.spend(now + 30) for _ in range(500)) == 100
