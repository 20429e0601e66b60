"""The calling side against a carrier that does what the test says."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from hubbub.bus.caller import Calls, CircuitOpen, NobodyAnswers, Remote
from hubbub.bus.codec import ActionCodec
from hubbub.bus.context import CallContext, call_context, set_current_call
from hubbub.bus.faults import encode_error
from hubbub.bus.metrics import ClientTally
from hubbub.bus.replies import ConnectionLost, ReplyTable
from hubbub.bus.sweeper import Sweeper
from hubbub.bus.wire import Body
from hubbub.clock import FakeClock
from hubbub.contracts.base import Policy
from hubbub.errors import (
    Conflict,
    HubbubError,
    Internal,
    NotAllowed,
    Timeout,
    TooLarge,
    Unavailable,
)
from tests.unit.bus.shop import Shop
from tests.waiting import eventually

OK = b'{"ok":7}'
BUSY = encode_error(Unavailable("busy"))


class Script:
    """A `Wire` that answers each request by the next step of a script."""

    encodes = True

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.sweeper = Sweeper(self.clock.monotonic)
        self.replies = ReplyTable(self.sweeper)
        self.connected = True
        self.came_back = asyncio.Event()
        self.steps: list[Callable[[bytes], None]] = []
        self.sent: list[tuple[bytes, Body, int, int, CallContext]] = []

    async def wait_connected(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.came_back.wait()
        except TimeoutError:
            return False
        return True

    def request(
        self,
        subject: bytes,
        token: bytes,
        body: Body,
        patience_ms: int,
        attempt: int,
        context: CallContext,
    ) -> None:
        self.sent.append((subject, body, patience_ms, attempt, context))
        if self.steps:
            self.steps.pop(0)(token)

    def answer(self, body: bytes) -> Callable[[bytes], None]:
        return lambda token: self.replies.answer(token, body)

    def nobody(self, token: bytes) -> None:
        self.replies.nobody(token)

    def has_sent(self, requests: int) -> bool:
        return len(self.sent) >= requests

    def silence(self, token: bytes) -> None:
        """Nothing comes."""

    def lose(self, token: bytes) -> None:
        self.replies.fail_all(ConnectionLost)

    def time_out(self, seconds: float = 10.0) -> Callable[[bytes], None]:
        """Time passes, nothing comes."""
        return lambda token: self.clock.advance(seconds)


@pytest.fixture
def wire() -> Script:
    return Script()


@pytest.fixture
def tally() -> ClientTally:
    return ClientTally("shop", "price")


@pytest.fixture
def make(wire: Script, tally: ClientTally) -> Callable[..., Remote]:
    def remote(**policy: Any) -> Remote:
        calls = Calls(wire, wire.replies, wire.clock, None, random=lambda: 1.0)
        return Remote(
            calls,
            ActionCodec(Shop.contract_actions["price"]),
            Policy(**policy),
            tally,
            service="shop",
            method="price",
            subject="s.price",
        )

    return remote


async def test_a_call_sends_one_request(
    wire: Script, make: Callable[..., Remote], tally: ClientTally
) -> None:
    """With its arguments by name and how long it waits: a clock may be wrong."""
    wire.steps = [wire.answer(OK)]

    assert await make(timeout=2.0).call(item="tea", amount=3) == 7

    ((subject, body, patience_ms, attempt, _),) = wire.sent
    assert (subject, body, attempt) == (b"s.price", b'{"item":"tea","amount":3}', 1)
    assert patience_ms == 2_000
    assert tally.outcomes["ok"] == 1


async def test_retryable_errors_of_idempotent_actions_are_tried_again(
    wire: Script, make: Callable[..., Remote], tally: ClientTally
) -> None:
    """Five tries in all, with growing pauses; later ones say that they are repetitions."""
    wire.steps = [wire.answer(BUSY)] * 4 + [wire.answer(OK)]

    assert await make(idempotent=True).call("tea") == 7

    assert wire.clock.pauses == pytest.approx([0.1, 0.2, 0.4, 0.8])
    assert [attempt for _, _, _, attempt, _ in wire.sent] == [1, 2, 3, 4, 5]
    assert (tally.retries, tally.outcomes["ok"]) == (4, 1)


async def test_after_five_tries_the_last_error_is_told(
    wire: Script, make: Callable[..., Remote], tally: ClientTally
) -> None:
    """As the callee said it."""
    wire.steps = [wire.answer(BUSY)] * 9

    with pytest.raises(Unavailable, match="busy"):
        await make(idempotent=True).call("tea")

    assert len(wire.sent) == 5
    assert tally.outcomes["error"] == 1


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        pytest.param({"idempotent": False}, Unavailable("busy"), id="not idempotent"),
        pytest.param({"idempotent": True}, Conflict("no"), id="not retryable"),
        pytest.param({"idempotent": True}, Internal(error_id="e"), id="a defect"),
        pytest.param({"idempotent": True, "attempts": 1}, Unavailable("x"), id="one attempt"),
    ],
)
async def test_other_errors_are_told_at_once(
    wire: Script, make: Callable[..., Remote], policy: dict[str, Any], error: HubbubError
) -> None:
    """One request, no pause."""
    wire.steps = [wire.answer(encode_error(error))]

    with pytest.raises(type(error)):
        await make(**policy).call("tea")

    assert (len(wire.sent), wire.clock.pauses) == (1, [])


async def test_a_repetition_is_not_repeated_below(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """Tries do not multiply from hop to hop, and those below are told."""
    wire.steps = [wire.answer(BUSY)] * 9
    set_current_call(CallContext(retrying=True))
    with pytest.raises(Unavailable):
        await make(idempotent=True).call("tea")

    assert [attempt for _, _, _, attempt, _ in wire.sent] == [2]


async def test_without_budget_failures_are_told_at_once(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """Those who fail because they have too much to do do not get everything several times."""
    remote = make(idempotent=True)
    budget = remote._calls.repetitions
    while budget.spend(wire.clock.monotonic()):
        pass
    wire.steps = [wire.answer(BUSY)] * 9
    with pytest.raises(Unavailable, match="busy"):
        await remote.call("tea")
    assert len(wire.sent) == 1

    wire.clock.advance(11)
    wire.steps = [wire.answer(BUSY), wire.answer(OK)]
    assert await remote.call("tea") == 7


async def test_no_retry_beyond_the_deadline(wire: Script, make: Callable[..., Remote]) -> None:
    """A pause that would end too late is not begun."""
    wire.steps = [wire.answer(BUSY)] * 9

    with pytest.raises(Unavailable):
        await make(idempotent=True, timeout=0.5).call("tea")

    assert wire.clock.pauses == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize("idempotent", [True, False])
async def test_nobody_there_is_safe_to_try_again(
    wire: Script, make: Callable[..., Remote], tally: ClientTally, idempotent: bool
) -> None:
    """For every action, because nobody got it."""
    wire.steps = [wire.nobody] * 3 + [wire.answer(OK)]

    assert await make(idempotent=idempotent).call("tea") == 7

    assert wire.clock.pauses == pytest.approx([0.1, 0.2, 0.4])
    assert [attempt for _, _, _, attempt, _ in wire.sent] == [1, 1, 1, 1]
    assert tally.outcomes["ok"] == 1


async def test_nobody_there_for_two_seconds_is_unavailable(
    wire: Script, make: Callable[..., Remote], tally: ClientTally
) -> None:
    """With the service's name."""
    wire.steps = [wire.nobody] * 99

    with pytest.raises(NobodyAnswers, match="shop: nobody answers"):
        await make().call("tea")

    assert sum(wire.clock.pauses) <= 2.0
    assert tally.outcomes["no_responders"] == 1


async def test_waiting_for_a_service_to_start_opens_no_circuit(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """Offers that nobody took say nothing of the callee unless they never end."""
    remote = make()
    for _ in range(30):
        wire.steps = [wire.nobody] * 3 + [wire.answer(OK)]
        assert await remote.call("tea") == 7


async def test_a_connection_loss_repeats_what_may_be_repeated(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """At once: the next try waits for the connection by itself."""
    wire.steps = [wire.lose, wire.answer(OK)]

    assert await make(idempotent=True).call("tea") == 7
    assert wire.clock.pauses == []


async def test_a_connection_loss_fails_what_may_not_be_repeated(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """Nobody knows whether it arrived."""
    wire.steps = [wire.lose, wire.answer(OK)]

    with pytest.raises(Unavailable, match="connection was lost"):
        await make().call("tea")

    assert len(wire.sent) == 1


async def test_a_call_waits_for_the_connection(wire: Script, make: Callable[..., Remote]) -> None:
    """Nothing is sent before it is there."""
    wire.connected = False
    wire.steps = [wire.answer(OK)]
    task = asyncio.create_task(make().call("tea"))
    await asyncio.sleep(0)
    assert wire.sent == []
    wire.connected = True
    wire.came_back.set()

    assert await task == 7


async def test_a_call_does_not_wait_for_ever(
    wire: Script, make: Callable[..., Remote], tally: ClientTally
) -> None:
    """Its deadline bounds the wait; that says nothing of the callee."""
    wire.connected = False
    remote = make(timeout=0.01)
    for _ in range(25):
        with pytest.raises(Unavailable, match="no connection"):
            await remote.call("tea")

    assert wire.sent == []
    assert tally.outcomes["circuit_open"] == 0


async def test_no_answer_is_a_timeout(
    wire: Script, make: Callable[..., Remote], tally: ClientTally
) -> None:
    """The caller is released when the deadline passes."""
    wire.steps = [wire.time_out()]

    with pytest.raises(Timeout, match=r"shop\.price: no answer in 5 s"):
        await make().call("tea")

    assert tally.outcomes["timeout"] == 1
    assert len(wire.replies) == 0


async def test_silence_is_answered_by_asking_another_instance(
    wire: Script, make: Callable[..., Remote], tally: ClientTally
) -> None:
    """After a third of the time, the same request again; the first answer wins."""
    tokens: list[bytes] = []
    wire.steps = [tokens.append, tokens.append]
    task = asyncio.create_task(make(idempotent=True, timeout=3.0).call("tea"))
    await eventually(lambda: len(wire.sent) == 1)
    wire.clock.advance(1.1)
    await eventually(lambda: len(wire.sent) == 2)

    assert tokens[0] != tokens[1]  # the server lets each be answered once
    assert [attempt for _, _, _, attempt, _ in wire.sent] == [1, 2]
    assert [patience_ms for _, _, patience_ms, _, _ in wire.sent] == [3_000, 1_900]
    wire.replies.answer(tokens[1], OK)
    assert await task == 7
    wire.replies.answer(tokens[0], OK)
    assert (wire.replies.second, wire.replies.late, tally.retries) == (1, 0, 1)


async def test_silence_of_other_actions_is_borne(wire: Script, make: Callable[..., Remote]) -> None:
    """What must not be done twice is not sent twice."""
    wire.steps = [wire.time_out(2.0)]
    task = asyncio.create_task(make(timeout=3.0).call("tea"))
    await eventually(lambda: len(wire.sent) == 1)
    await asyncio.sleep(0.06)  # three looks of the sweeper

    assert len(wire.sent) == 1
    wire.clock.advance(2.0)
    with pytest.raises(Timeout):
        await task


async def test_nobody_for_a_repeated_send_does_not_end_the_call(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """The first instance may have left its group and still be at work."""
    tokens: list[bytes] = []
    wire.steps = [tokens.append, wire.nobody]
    task = asyncio.create_task(make(idempotent=True, timeout=3.0).call("tea"))
    await eventually(lambda: len(wire.sent) == 1)
    wire.clock.advance(1.1)
    await eventually(lambda: len(wire.sent) == 2)
    wire.replies.answer(tokens[0], OK)

    assert await task == 7


async def test_an_offer_that_reaches_nobody_is_made_again_soon(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """Who had the request is gone. Its successor gets it half a second after it is there, at
    most, and not when the caller's patience with somebody slow would be over."""
    tokens: list[bytes] = []
    wire.steps = [wire.silence, wire.nobody, wire.nobody, wire.nobody, tokens.append]
    task = asyncio.create_task(make(idempotent=True, timeout=30.0).call("tea"))
    await eventually(lambda: len(wire.sent) == 1)
    wire.clock.advance(10.1)
    await eventually(lambda: len(wire.sent) == 2)
    for sent in (3, 4, 5):
        wire.clock.advance(0.5)
        await eventually(partial(wire.has_sent, sent))

    # This one was heard: from here on it is silence again, borne for a third of the time.
    wire.clock.advance(5.0)
    await asyncio.sleep(0.06)  # three looks of the sweeper
    assert len(wire.sent) == 5
    wire.replies.answer(tokens[0], OK)
    assert await task == 7


async def test_offers_that_reach_nobody_cost_nothing(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """However many calls lost their callee, each of them finds its successor."""
    remote = make(idempotent=True, timeout=30.0)
    budget = remote._calls.silence
    while budget.spend():
        pass
    budget.refund()  # one is left, for three calls
    wire.steps = [*[wire.silence] * 3, *[wire.nobody] * 3]
    calls = [asyncio.create_task(remote.call("tea")) for _ in range(3)]
    await eventually(lambda: len(wire.sent) == 3)
    wire.clock.advance(10.1)
    for sent in (4, 6):
        await eventually(partial(wire.has_sent, sent))
        wire.clock.advance(0.5)
    wire.steps = [wire.answer(OK)] * 9
    for _ in range(4):
        wire.clock.advance(0.5)
        await asyncio.sleep(0.06)  # three looks of the sweeper

    assert await asyncio.gather(*calls) == [7, 7, 7]


async def test_the_circuit_opens_and_refuses(
    wire: Script, make: Callable[..., Remote], tally: ClientTally
) -> None:
    """After twenty failures nothing is sent for ten seconds; then one call tries."""
    remote = make()
    wire.steps = [wire.answer(BUSY)] * 20
    for _ in range(20):
        with pytest.raises(Unavailable, match="busy"):
            await remote.call("tea")
    with pytest.raises(CircuitOpen):
        await remote.call("tea")
    assert len(wire.sent) == 20
    assert (tally.outcomes["circuit_open"], tally.circuit()) == (1, 2)
    wire.clock.advance(10.0)
    wire.steps = [wire.answer(OK)]

    assert await remote.call("tea") == 7
    assert tally.circuit() == 0


async def test_mistakes_of_callers_open_no_circuit(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """4xx means that the callee works."""
    remote = make()
    wire.steps = [wire.answer(encode_error(NotAllowed()))] * 50
    for _ in range(50):
        with pytest.raises(NotAllowed):
            await remote.call("tea")


async def test_a_cancelled_call_leaves_nothing(
    wire: Script, make: Callable[..., Remote], tally: ClientTally
) -> None:
    """No entry, no warning, and the late answer is counted."""
    tokens: list[bytes] = []
    wire.steps = [tokens.append]
    task = asyncio.create_task(make(idempotent=True).call("tea"))
    await eventually(lambda: len(wire.replies) == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert len(wire.replies) == 0
    wire.replies.answer(tokens[0], OK)
    assert (wire.replies.late, wire.replies.second) == (1, 0)
    assert tally.outcomes["cancelled"] == 1
    del task
    gc.collect()


async def test_what_was_not_sent_says_nothing_of_the_callee(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """Too large, or too much waiting: told to the caller, the circuit stays closed."""

    def refuse(token: bytes) -> None:
        raise TooLarge("2 bytes, 1 allowed")

    remote = make(idempotent=True)
    wire.steps = [refuse] * 30
    for _ in range(30):
        with pytest.raises(TooLarge, match="2 bytes, 1 allowed"):
            await remote.call("tea")


async def test_the_surrounding_request_bounds_and_names_the_call(
    wire: Script, make: Callable[..., Remote]
) -> None:
    """Its deadline minus a hop, its id, its user."""
    wire.steps = [wire.answer(OK)]
    with call_context(request_id="r1", user_id="u1", deadline=wire.clock.monotonic() + 1.0):
        await make(timeout=5.0).call("tea")

    (_, _, patience_ms, _, context) = wire.sent[0]
    assert patience_ms == 990
    assert (context.request_id, context.user_id) == ("r1", "u1")


async def test_calls_in_a_circle_end(wire: Script, make: Callable[..., Remote]) -> None:
    """Sixteen calls deep is deep enough."""
    set_current_call(CallContext(depth=16))
    with pytest.raises(NotAllowed, match="16 calls deep"):
        await make().call("tea")

    assert wire.sent == []
