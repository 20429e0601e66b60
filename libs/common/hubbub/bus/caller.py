"""The calling side of one action: deadline, circuit breaker, sending, retry."""

from __future__ import annotations

import random as random_module
from collections.abc import Callable
from functools import partial
from typing import Any

from opentelemetry.trace import Tracer

from hubbub.bus import retry
from hubbub.bus.breaker import Breaker
from hubbub.bus.codec import ActionCodec, Plain
from hubbub.bus.context import CallContext, current_call
from hubbub.bus.deadline import call_deadline, milliseconds, readers_of
from hubbub.bus.faults import too_deep
from hubbub.bus.metrics import ClientOutcome, ClientTally
from hubbub.bus.replies import (
    ConnectionLost,
    NoResponders,
    NotSent,
    ReplyTable,
    Waiting,
    repeated,
)
from hubbub.bus.tracing import client_span
from hubbub.bus.wire import Body, Wire
from hubbub.clock import Clock
from hubbub.contracts.base import Policy
from hubbub.errors import HubbubError, Internal, Timeout, TooLarge, Unavailable

DEEPEST = 16  # calls below the door; more means that services call each other in a circle
_PATIENCE = 1 / 3  # share of the time after which silence is answered by sending again
_NOBODY_AGAIN = 0.5  # seconds between offers of a request whose callee vanished


class Calls:
    """What all actions called by one process share."""

    def __init__(
        self,
        wire: Wire,
        replies: ReplyTable,
        clock: Clock,
        tracer: Tracer | None,
        *,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self.wire = wire
        self.replies = replies
        self.clock = clock
        self.tracer = tracer
        self.random = random
        self.silence = retry.SilenceBudget()
        self.repetitions = retry.RetryBudget()


class Remote:
    """One action of another service, ready to be called."""

    def __init__(
        self,
        calls: Calls,
        codec: ActionCodec,
        policy: Policy,
        tally: ClientTally,
        *,
        service: str,
        method: str,
        subject: str,
    ) -> None:
        self._calls = calls
        self._codec = codec
        self._policy = policy
        self._tally = tally
        self._service = service
        self._method = method
        self._label = f"{service}.{method}"
        self._subject = subject.encode()
        self._monotonic, _ = readers_of(calls.clock)
        self._repeatable = policy.idempotent and policy.attempts > 1
        self._breaker = Breaker(self._monotonic)
        tally.circuit = lambda: self._breaker.state

    async def call(self, *positional: object, **named: Any) -> Any:
        """Call it.

        Raises:
            HubbubError: what the callee raised; Invalid: the arguments do not fit the contract;
                Timeout: no answer in time; Unavailable: nobody could answer.
        """
        started = self._monotonic()
        outcome: ClientOutcome = "cancelled"
        try:
            arguments = self._codec.bind(positional, named) if positional else named
            context = current_call()
            if self._calls.tracer is None:
                result = await self._answered(arguments, started, context)
            else:
                with client_span(
                    self._calls.tracer, self._service, self._method, context
                ) as traced:
                    result = await self._answered(arguments, started, traced)
            outcome = "ok"
        except CircuitOpen:
            outcome = "circuit_open"
            raise
        except NobodyAnswers:
            outcome = "no_responders"
            raise
        except Timeout:
            outcome = "timeout"
            raise
        except HubbubError:
            outcome = "error"
            raise
        finally:
            self._tally.outcomes[outcome] += 1
            self._tally.durations.observe(self._monotonic() - started)
        return result

    async def _answered(
        self, arguments: dict[str, Any], started: float, context: CallContext
    ) -> Any:
        policy = self._policy
        deadline = call_deadline(started, policy.timeout, context.deadline, self._label)
        if context.depth >= DEEPEST:
            raise too_deep(DEEPEST)
        body: Body = (
            self._codec.encode_arguments(arguments) if self._calls.wire.encodes else arguments
        )
        attempt = offers = 1
        now = started
        self._calls.repetitions.earn(now)
        while True:
            if not self._breaker.admit():
                raise CircuitOpen(f"{self._service}: not called, its circuit is open")
            settled = False
            try:
                reply = await self._exchange(body, now, deadline, attempt, context)
                value = self._codec.decode_reply(reply)
                settled = True
                self._breaker.succeeded()
                return value  # noqa: TRY300  # nothing after it can raise
            except NotSent as failure:
                raise failure.error from None
            except NoResponders:
                # Says something of the callee only if it lasts: services start in any order.
                pause = retry.pause_before(offers + 1, self._calls.random)
                offers += 1
                now = self._monotonic()
                if now + pause >= min(deadline, started + retry.NOBODY_WINDOW):
                    settled = True
                    self._breaker.failed(nobody=True)
                    raise NobodyAnswers(f"{self._service}: nobody answers") from None
            except ConnectionLost:
                # Says nothing of the callee.
                if not self._may_repeat(attempt, context):
                    raise Unavailable(
                        f"{self._label}: the connection was lost during the call"
                    ) from None
                pause = 0.0
                attempt += 1
            except HubbubError as error:
                settled = True
                if not isinstance(error, Timeout | Unavailable | Internal):
                    self._breaker.succeeded()
                    raise
                self._breaker.failed()
                if (
                    not error.retryable
                    or self._monotonic() >= deadline
                    or not self._may_repeat(attempt, context)
                    or not self._calls.repetitions.spend(self._monotonic())
                ):
                    raise self._explained(error) from None
                attempt += 1
                pause = retry.pause_before(attempt, self._calls.random)
                if self._monotonic() + pause >= deadline:
                    raise self._explained(error) from None
            finally:
                if not settled:
                    self._breaker.abandoned()
            self._tally.retries += 1
            if pause:
                await self._calls.clock.sleep(pause)
            now = self._monotonic()

    def _may_repeat(self, attempt: int, context: CallContext) -> bool:
        """Whether a call that may have arrived can be made once more. A request that is itself a
        repetition is not repeated below, or tries would multiply from hop to hop."""
        policy = self._policy
        return policy.idempotent and attempt < policy.attempts and not context.retrying

    def _explained(self, error: HubbubError) -> HubbubError:
        """Our own time-out names the action; what a callee says stays as it is."""
        if isinstance(error, Timeout) and not error.reason:
            return Timeout(f"{self._label}: no answer in {self._policy.timeout:g} s")
        return error

    async def _exchange(
        self, body: Body, now: float, deadline: float, attempt: int, context: CallContext
    ) -> bytes | Plain:
        """Send once, wait for the answer.

        Raises: NotSent, NoResponders, ConnectionLost, Timeout.
        """
        calls = self._calls
        wire = calls.wire
        if not wire.connected:
            if not await wire.wait_connected(deadline - now):
                raise NotSent(Unavailable(f"{self._label}: no connection to NATS"))
            now = self._monotonic()
        left = deadline - now
        calls.silence.earn()
        if context.retrying and attempt == 1:
            attempt = 2  # so that those below know as well
        if self._repeatable and not context.retrying:
            waiting = calls.replies.open(
                deadline,
                silence_at=now + left * _PATIENCE,
                on_silence=partial(self._send_again, body, attempt, context),
            )
        else:
            waiting = calls.replies.open(deadline)
        try:
            patience_ms = milliseconds(left)
            wire.request(self._subject, waiting.token, body, patience_ms, attempt, context)
            return await waiting.future
        except (TooLarge, Unavailable) as error:
            raise NotSent(error) from None
        finally:
            calls.replies.give_up(waiting)

    def _send_again(
        self, body: Body, attempt: int, context: CallContext, waiting: Waiting
    ) -> float:
        """Nobody answered for a while: offer the same request to another instance.

        The first answer wins, from whichever of them it comes. An offer that reaches nobody is
        made again soon and free of charge: not even the one that had the request first is there
        any more, so nobody who is merely slow gets it twice. Returns when to look again.
        """
        calls = self._calls
        now = self._monotonic()
        if waiting.unheard:
            waiting.unheard = False
            waiting.sent -= 1
            if not waiting.vanished:
                calls.silence.refund()
            waiting.vanished = True
        elif now < waiting.again:
            return min(waiting.again, now + _NOBODY_AGAIN)
        if waiting.sent >= self._policy.attempts:
            return waiting.deadline
        if not calls.wire.connected or not (waiting.vanished or calls.silence.spend()):
            return now + _NOBODY_AGAIN
        waiting.sent += 1
        waiting.again = now + max(_NOBODY_AGAIN, self._policy.timeout * _PATIENCE)
        self._tally.retries += 1
        try:
            # An address of its own: of an answer to one that a connection was asked for twice,
            # the server says that it was not allowed.
            token = repeated(waiting)
            patience_ms = milliseconds(waiting.deadline - now)
            calls.wire.request(self._subject, token, body, patience_ms, attempt + 1, context)
        except Unavailable:  # the buffer is full; the first send may still be answered
            waiting.again = now + _NOBODY_AGAIN
        return min(waiting.again, now + _NOBODY_AGAIN)


class NobodyAnswers(Unavailable):
    """No instance of the service was there, for as long as it is worth waiting."""


class CircuitOpen(Unavailable):
    """The call was not made, because the last ones failed."""
