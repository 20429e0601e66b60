"""The answering side of one service in one process: dispatch, bulkheads, deadlines, replies."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from opentelemetry.trace import Tracer

from hubbub.bus.bulkhead import Bulkhead, Overflow
from hubbub.bus.caller import DEEPEST
from hubbub.bus.codec import ActionCodec, Plain
from hubbub.bus.context import set_current_call
from hubbub.bus.deadline import readers_of, work_deadline
from hubbub.bus.faults import encode_error, too_deep
from hubbub.bus.headers import CallHead
from hubbub.bus.metrics import BusMetrics, ServerOutcome, ServerTally
from hubbub.bus.sweeper import Sweeper
from hubbub.bus.tracing import server_span
from hubbub.bus.wire import Body
from hubbub.clock import Clock
from hubbub.contracts.base import Policy
from hubbub.errors import HubbubError, Internal, Invalid, NotFound, Timeout, TooLarge, Unavailable
from hubbub.telemetry.log import bind_contextvars, get_logger

log = get_logger(__name__)

Answer = Callable[[bytes, bytes | Plain], None]
"""Sends a reply: (where to, body). Raises: TooLarge: it is over what the carrier takes."""

_OVERHEAD = 512  # bytes that a waiting request costs beside its body


class Call:
    """One received request."""

    __slots__ = (
        "begun",
        "body",
        "cut",
        "deadline",
        "endpoint",
        "head",
        "own_limit",
        "received",
        "reply",
        "task",
    )

    def __init__(
        self, endpoint: Endpoint, head: CallHead, body: Body, reply: bytes, received: float
    ) -> None:
        self.endpoint = endpoint
        self.head = head
        self.body = body
        self.reply = reply
        self.received = received  # monotonic seconds
        self.deadline = 0.0  # monotonic seconds, set when the work begins
        self.task: asyncio.Task[None] | None = None
        self.begun = False  # the task took its first step
        self.cut = False  # the deadline passed while it ran
        self.own_limit = False  # it is our time-out that ended it, so the caller still waits

    def cancel(self) -> None:
        """Stop the work. A task cancelled before its first step would skip its clean-up, so
        that step, which is already due, goes first."""
        if self.task is None:
            return
        if self.begun:
            self.task.cancel()
        else:
            asyncio.get_running_loop().call_soon(self.task.cancel)


class Endpoint:
    """One action that a service object keeps."""

    def __init__(
        self,
        callee: Callee,
        codec: ActionCodec,
        policy: Policy,
        tally: ServerTally,
        method: Callable[..., Awaitable[Any]],
        overflow: Overflow,
    ) -> None:
        self.codec = codec
        self.policy = policy
        self.tally = tally
        self.method = method
        self.bulkhead: Bulkhead[Call] = Bulkhead(
            callee.begin,
            _size,
            running=policy.running,
            waiting=policy.waiting,
            overflow=overflow,
        )
        tally.running = lambda: self.bulkhead.running


def _size(call: Call) -> int:
    return len(call.body) + _OVERHEAD


class Callee:
    """Answers the calls to one service object."""

    def __init__(
        self,
        service: str,
        answer: Answer,
        *,
        clock: Clock,
        sweeper: Sweeper,
        metrics: BusMetrics,
        tracer: Tracer | None,
        slow_call: float,
    ) -> None:
        self.service = service
        self._answer = answer
        self._monotonic, self._wall = readers_of(clock)
        self._sweeper = sweeper
        sweeper.add(self)
        self._metrics = metrics
        self._tracer = tracer
        self._slow_call = slow_call
        self.endpoints: dict[str, Endpoint] = {}
        self._running: dict[Call, asyncio.Task[None]] = {}
        self._leaving: asyncio.Event | None = None  # set when the last call ends
        # Requests must not inherit what happened to be known when the service was started.
        self._clean = contextvars.Context()

    def receive(self, method: str, head: CallHead, body: Body, reply: bytes) -> None:
        """A request arrived. Never raises: whatever is wrong with it becomes its answer."""
        endpoint = self.endpoints.get(method)
        if endpoint is None:
            self._metrics.unknown_methods += 1
            unknown = NotFound(
                f"unknown method {self.service}.{method}", code="error-unknown-method"
            )
            self._send(reply, encode_error(unknown))
            return
        if head.deadline_ms and not head.patience_ms:
            # Of an older version: good as far as our clocks agree. -1: it is over.
            head.patience_ms = int(head.deadline_ms - self._wall() * 1000) or -1
        call = Call(endpoint, head, body, reply, self._monotonic())
        if head.depth >= DEEPEST:
            self._finish(call, "error", encode_error(too_deep(DEEPEST)))
        elif not endpoint.bulkhead.enter(call):
            busy = Unavailable(
                f"{endpoint.codec.label}: overloaded, {endpoint.bulkhead.running} calls running "
                f"and {endpoint.bulkhead.waiting} waiting"
            )
            self._finish(call, "shed", encode_error(busy))

    def begin(self, call: Call) -> bool:
        """Start the work on a call. False: there was nothing to start."""
        endpoint = call.endpoint
        now = self._monotonic()
        limit, patience_ms = endpoint.policy.timeout, call.head.patience_ms
        deadline = work_deadline(now, call.received, patience_ms, limit)
        if deadline is None:
            self._finish(call, "expired", None)
            return False
        call.own_limit = patience_ms == 0 or limit * 1000 < patience_ms - 1
        try:
            arguments = endpoint.codec.decode_arguments(call.body)
        except Invalid as error:
            self._finish(call, "invalid", encode_error(error))
            return False
        head = call.head
        head.depth += 1
        head.deadline = call.deadline = deadline
        call.task = asyncio.get_running_loop().create_task(
            self._work(call, arguments), context=self._clean.copy()
        )
        self._running[call] = call.task
        if not self._sweeper.armed:
            self._sweeper.arm()
        return True

    def at_hand(self) -> Iterator[bytes]:
        """Where the calls that run or wait are to be answered."""
        for call in self._running:
            yield call.reply
        for endpoint in self.endpoints.values():
            for call in endpoint.bulkhead:
                yield call.reply

    def sweep(self, now: float) -> bool:
        """See `Swept`: stop the work that nobody waits for any more."""
        for call in [one for one in self._running if one.deadline <= now and not one.cut]:
            call.cut = True
            call.cancel()
        return bool(self._running)

    async def finish(self, seconds: float) -> int:
        """Let the calls at hand end, for at most `seconds`; then stop them. Returns how many
        had to be stopped; they are answered `Unavailable`."""
        self._leaving = asyncio.Event()
        if self._running:
            try:
                async with asyncio.timeout(seconds):
                    await self._leaving.wait()
            except TimeoutError:
                pass  # `stop` counts and answers what is left
        return await self.stop()

    async def stop(self) -> int:
        """Stop all calls at hand now. Returns how many there were."""
        gone = encode_error(Unavailable(f"{self.service}: the instance is going away"))
        stopped = 0
        for endpoint in self.endpoints.values():
            for call in endpoint.bulkhead.empty():
                stopped += 1
                self._finish(call, "error", gone)
        tasks = list(self._running.values())
        for call in list(self._running):
            call.cancel()
        if tasks:
            await asyncio.wait(tasks)
        return stopped + len(tasks)

    async def _work(self, call: Call, arguments: dict[str, Any]) -> None:
        """Run the method and answer. A failure that is no `HubbubError` is a defect: it is
        logged here, and the caller learns only the id under which it is found."""
        call.begun = True
        head = call.head
        endpoint = call.endpoint
        set_current_call(head)
        if head.request_id is not None or head.user_id is not None:
            bind_contextvars(req=head.request_id, uid=head.user_id)
        outcome: ServerOutcome = "internal"
        reply: bytes | Plain | None = None
        try:
            if self._tracer is None:
                value = await endpoint.method(**arguments)
            else:
                with server_span(self._tracer, self.service, endpoint.tally.method, head):
                    value = await endpoint.method(**arguments)
            reply = (
                endpoint.codec.encode_result(value)
                if isinstance(call.body, bytes)
                else endpoint.codec.check_result(value)
            )
            outcome = "ok"
        except HubbubError as error:
            outcome = "error"
            endpoint.tally.last_error = str(error.code)
            reply = encode_error(error)
        except asyncio.CancelledError:
            outcome, reply = self._cancelled(call)
        except Exception as error:
            if call.cut:  # what a library made of being cancelled
                outcome, reply = self._cancelled(call)
                return
            error_id = secrets.token_hex(8)
            endpoint.tally.last_error = type(error).__name__
            reply = encode_error(Internal(error_id=error_id))
            log.exception(
                "call_failed",
                method=endpoint.codec.label,
                error_id=error_id,
                err_type=type(error).__name__,
                **_trace_of(head),
            )
        finally:
            del self._running[call]
            self._finish(call, outcome, reply)
            endpoint.bulkhead.done()
            if self._leaving is not None and not self._running:
                self._leaving.set()

    def _cancelled(self, call: Call) -> tuple[ServerOutcome, bytes | None]:
        if not call.cut:
            gone = Unavailable(f"{self.service}: the instance is going away")
            return "error", encode_error(gone)
        if not call.own_limit:
            return "timeout", None  # nobody waits any more
        label = call.endpoint.codec.label
        late = Timeout(f"{label}: not done in {call.endpoint.policy.timeout:g} s")
        return "timeout", encode_error(late)

    def _finish(self, call: Call, outcome: ServerOutcome, reply: bytes | Plain | None) -> None:
        """Answer and count."""
        tally = call.endpoint.tally
        if reply is not None:
            try:
                self._send(call.reply, reply)
            except TooLarge as error:
                outcome = "error"
                tally.last_error = str(error.code)
                too_large = TooLarge(f"{call.endpoint.codec.label}: the answer: {error.reason}")
                self._send(call.reply, encode_error(too_large))
        seconds = self._monotonic() - call.received
        tally.outcomes[outcome] += 1
        tally.durations.observe(seconds)
        if seconds >= self._slow_call:
            log.info(
                "slow_call",
                method=call.endpoint.codec.label,
                outcome=outcome,
                dur_ms=round(seconds * 1000),
                caller=call.head.caller,
                **_trace_of(call.head),
            )

    def _send(self, reply: bytes, body: bytes | Plain) -> None:
        if not reply:
            return
        try:
            self._answer(reply, body)
        except Unavailable as error:  # the connection is away and its buffer full
            log.warning("answer_lost", service=self.service, reason=error.reason)


def _trace_of(head: CallHead) -> dict[str, str]:
    """The caller's trace, for a line written when the span of the work has ended."""
    parts = (head.trace_parent or "").split("-")
    return {"trace_id": parts[1], "span_id": parts[2]} if len(parts) == 4 else {}
