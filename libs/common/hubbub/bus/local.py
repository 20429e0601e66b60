"""The bus inside one process: for tests, and for running services together.

It keeps every promise of the one over NATS: the same coding, checking, policies, metrics, and
fresh contexts; a method can not tell which of them called it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from opentelemetry.trace import TracerProvider
from prometheus_client import CollectorRegistry

from hubbub.bus.callee import Callee
from hubbub.bus.codec import Plain
from hubbub.bus.context import CallContext, current_call
from hubbub.bus.core import BusCore, real_random
from hubbub.bus.events import Listener, Unreadable, listeners
from hubbub.bus.headers import CallHead
from hubbub.bus.served import contracts_of
from hubbub.bus.settings import BusSettings
from hubbub.bus.subjects import call_subject, instance_subject
from hubbub.bus.tracing import producer_span
from hubbub.bus.wire import Body, Wire
from hubbub.clock import Clock
from hubbub.contracts.base import Event
from hubbub.errors import TooLarge, Unavailable
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

DEFAULT_MAX_PAYLOAD = 1024 * 1024
"""Bytes of a message; what a NATS server allows unless it is told otherwise."""


@dataclass(slots=True)
class _Group:
    """Listeners of one event of which each event reaches one."""

    members: list[_Mailbox] = field(default_factory=list)
    turns: count[int] = field(default_factory=count)


@dataclass(slots=True)
class _Mailbox:
    """One listener with the events that wait for it."""

    listener: Listener
    queue: asyncio.Queue[tuple[bytes, CallHead]]
    task: asyncio.Task[None] | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A durable event that was given up."""

    service: str
    name: str
    body: bytes
    error: str


class LocalBus(BusCore):
    """A bus without a broker.

    Several service objects with the same contract take turns. Tasks belong to the bus and end
    with `close`.
    """

    def __init__(
        self,
        settings: BusSettings | None = None,
        *,
        service: str = "local",
        instance: str = "local-1",
        registry: CollectorRegistry | None = None,
        clock: Clock | None = None,
        tracer_provider: TracerProvider | None = None,
        coding: bool = True,
        max_payload: int = DEFAULT_MAX_PAYLOAD,
        random: Callable[[], float] = real_random,
    ) -> None:
        """
        Args:
            coding: False passes arguments and results as they are; they are still checked, but
                mutable ones are then shared between caller and callee.
            max_payload: bytes that a request or an answer may have.
            random: between 0 and 1, for the pauses of retries.
        """
        self._coding = coding
        self._max_payload = max_payload
        super().__init__(
            settings,
            service=service,
            instance=instance,
            registry=registry,
            clock=clock,
            tracer_provider=tracer_provider,
            random=random,
        )
        self._callees: dict[bytes, list[Callee]] = {}  # subject → those who take turns
        self._methods: dict[bytes, str] = {}  # subject → method
        self._turns = count()
        self._groups: dict[str, dict[tuple[str, object], _Group]] = {}  # event → group
        self._unhandled = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._draining = False
        self.dead_letters: list[DeadLetter] = []

    def _wire(self) -> Wire:
        return _LocalWire(self)

    async def serve(self, service: object, *, group: bool = True) -> None:
        """See `Bus.serve`."""
        for contract in contracts_of(service):
            callee = self._callee(contract, service, self._replied)
            name = contract.contract_name
            for method in callee.endpoints:
                subjects = [instance_subject(self.instance, name, method)]
                if group:
                    subjects.append(call_subject(name, method))
                for subject in subjects:
                    self._callees.setdefault(subject.encode(), []).append(callee)
                    self._methods[subject.encode()] = method
            await self.listen(service, service=name)

    async def listen(self, owner: object, *, service: str) -> None:
        """See `Bus.listen`."""
        for listener in listeners(
            owner,
            service,
            metrics=self.metrics,
            tracer=self._tracer,
            timeout=self.settings.listener_timeout,
        ):
            queue: asyncio.Queue[tuple[bytes, CallHead]] = asyncio.Queue(
                self.settings.event_pending_messages
            )
            mailbox = _Mailbox(listener, queue)
            work = self._deliver(mailbox)
            mailbox.task = asyncio.get_running_loop().create_task(
                work, name=f"listen {listener.name}", context=contextvars.Context()
            )
            # to="all": every object is a group of its own.
            alone = object() if listener.listening.to == "all" else listener.listening.durable
            groups = self._groups.setdefault(listener.name, {})
            groups.setdefault((service, alone), _Group()).members.append(mailbox)

    async def publish(self, event: Event) -> None:
        """See `Bus.publish`. Listeners run soon after; `settled` waits for them."""
        name = event.event_name
        body = event.model_dump_json().encode()
        if len(body) > self._max_payload:
            raise TooLarge(f"event {name} has {len(body)} bytes, {self._max_payload} are allowed")
        context = current_call()
        if self._tracer is None:
            self._spread(name, body, self._head(context))
        else:
            with producer_span(self._tracer, name, context) as traced:
                self._spread(name, body, self._head(traced))
        self.metrics.event(name, "out", "ok")

    async def settled(self) -> None:
        """Wait until every published event has been handled by its listeners."""
        await self._settled.wait()

    async def drain(self) -> None:
        """See `Bus.drain`."""
        self._draining = True
        callees = {callee for group in self._callees.values() for callee in group}
        self._callees.clear()
        self._groups = {}
        for callee in callees:
            await callee.finish(self.settings.drain_timeout)
        try:
            async with asyncio.timeout(self.settings.drain_timeout):
                await self.settled()
        except TimeoutError:
            log.warning("drain_incomplete", events=self._unhandled)

    async def close(self) -> None:
        """See `Bus.close`."""
        callees = {callee for group in self._callees.values() for callee in group}
        self._callees.clear()
        mailboxes = [
            mailbox
            for groups in self._groups.values()
            for group in groups.values()
            for mailbox in group.members
        ]
        self._groups = {}
        for callee in callees:
            await callee.stop()
        tasks = [mailbox.task for mailbox in mailboxes if mailbox.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._replies.fail_all(lambda: Unavailable("the bus was closed"))
        self._sweeper.close()

    def send(self, subject: bytes, token: bytes, body: Body, head: CallHead) -> None:
        """Hand a request to whose turn it is. Raises: TooLarge."""
        if isinstance(body, bytes) and len(body) > self._max_payload:
            raise TooLarge(f"the request has {len(body)} bytes, {self._max_payload} are allowed")
        callees = self._callees.get(subject)
        if not callees:
            if not any(key.startswith(subject.rpartition(b".")[0] + b".") for key in self._callees):
                self._replies.nobody(token)
                return
            # The service is there and has no such method: any of its instances says so.
            service = subject.rpartition(b".")[0]
            callees = next(
                group for key, group in self._callees.items() if key.startswith(service + b".")
            )
        callee = callees[next(self._turns) % len(callees)]
        method = self._methods.get(subject) or subject.rpartition(b".")[2].decode()
        callee.receive(method, head, body, token)

    def _replied(self, token: bytes, body: bytes | Plain) -> None:
        if isinstance(body, bytes) and len(body) > self._max_payload:
            raise TooLarge(f"{len(body)} bytes, {self._max_payload} are allowed")
        self._replies.answer(token, body)

    def _head(self, context: CallContext) -> CallHead:
        return CallHead(
            request_id=context.request_id,
            user_id=context.user_id,
            origin=context.origin,
            caller=f"{self.service}/{self.instance}",
            trace_parent=context.trace_parent,
            trace_state=context.trace_state,
        )

    def _spread(self, name: str, body: bytes, head: CallHead) -> None:
        for group in self._groups.get(name, {}).values():
            mailbox = group.members[next(group.turns) % len(group.members)]
            try:
                mailbox.queue.put_nowait((body, head))
            except asyncio.QueueFull:
                self.metrics.slow_consumers += 1
                continue
            self._unhandled += 1
            self._settled.clear()

    async def _deliver(self, mailbox: _Mailbox) -> None:
        while True:
            body, head = await mailbox.queue.get()
            try:
                if mailbox.listener.listening.durable:
                    await self._deliver_durably(mailbox.listener, body, head)
                else:
                    await mailbox.listener.handle(body, head)
            finally:
                self._unhandled -= 1
                if not self._unhandled:
                    self._settled.set()

    async def _deliver_durably(self, listener: Listener, body: bytes, head: CallHead) -> None:
        for pause in (*self.settings.durable_backoff, None):
            error = await listener.handle(body, head)
            if error is None:
                return
            if pause is None or isinstance(error, Unreadable):
                break
            self.metrics.redelivered(listener.name)
            await self.clock.sleep(pause)
        else:
            return
        self.metrics.dead_letter(listener.name)
        letter = DeadLetter(
            listener.service, listener.name, body, f"{type(error).__name__}: {error}"
        )
        self.dead_letters.append(letter)


class _LocalWire:
    """Carries requests to the services of the same `LocalBus`."""

    def __init__(self, bus: LocalBus) -> None:
        self._bus = bus

    connected = True

    @property
    def encodes(self) -> bool:
        return self._bus._coding  # noqa: SLF001  # two halves of one thing

    async def wait_connected(self, seconds: float) -> bool:
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
        bus = self._bus
        head = CallHead(
            request_id=context.request_id,
            user_id=context.user_id,
            origin=context.origin,
            depth=context.depth,
            retrying=attempt > 1,
            caller=f"{bus.service}/{bus.instance}",
            trace_parent=context.trace_parent,
            trace_state=context.trace_state,
            patience_ms=patience_ms,
        )
        bus.send(subject, token, body, head)
