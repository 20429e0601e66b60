"""The bus over NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import chain

from nats import errors
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from opentelemetry.trace import TracerProvider
from prometheus_client import CollectorRegistry

from hubbub.bus.callee import Callee
from hubbub.bus.connection import Connection
from hubbub.bus.context import CallContext, current_call
from hubbub.bus.core import BusCore, real_random
from hubbub.bus.discovery import Announcement
from hubbub.bus.durable import DurableEvents
from hubbub.bus.events import Listener, listeners
from hubbub.bus.headers import event_head, event_headers, header_block, parse_call_head
from hubbub.bus.link import NatsLink, apart
from hubbub.bus.parser import Door
from hubbub.bus.served import contracts_of
from hubbub.bus.settings import BusSettings
from hubbub.bus.subjects import call_subject, event_subject, instance_subject
from hubbub.bus.tracing import producer_span
from hubbub.bus.wire import Wire
from hubbub.clock import Clock
from hubbub.contracts.base import Event
from hubbub.errors import Unavailable
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)


class NatsBus(BusCore):
    """Typed calls and events over one NATS connection, which it keeps up for ever.

    Calls under way when the connection breaks: idempotent ones are repeated once it is back,
    within their deadline; others fail as `Unavailable`, because nobody knows whether they
    arrived. Calls begun while it is away wait for it, within their deadline.
    """

    def __init__(
        self,
        settings: BusSettings | None = None,
        *,
        service: str,
        instance: str,
        registry: CollectorRegistry | None = None,
        clock: Clock | None = None,
        tracer_provider: TracerProvider | None = None,
        random: Callable[[], float] = real_random,
    ) -> None:
        """
        Args:
            service: name of this process, for others to see.
            instance: name of this one start of it; one subject token.
            registry: where metrics are shown.
            tracer_provider: where spans go; the process's own if None. Set that one up first.
            random: between 0 and 1, for pauses.
        """
        super().__init__(
            settings,
            service=service,
            instance=instance,
            registry=registry,
            clock=clock,
            tracer_provider=tracer_provider,
            random=random,
        )
        self._callees: list[Callee] = []
        self._subscriptions: list[Subscription] = []
        self._announcements: list[Announcement] = []
        self._durable = DurableEvents(
            self.client, self.settings, self.metrics, self.clock, random=random
        )
        self._link.on_reconnect(self._durable.reconnected)
        self._link.at_hand = lambda: chain.from_iterable(one.at_hand() for one in self._callees)

    def _wire(self) -> Wire:
        self._link = NatsLink(
            self.settings,
            self._replies,
            self.metrics,
            self.clock,
            service=self.service,
            instance=self.instance,
            random=self._random,
        )
        return self._link

    @property
    def client(self) -> Connection:
        """The connection, for code with subjects of its own."""
        return self._link.client

    @property
    def connected(self) -> bool:
        """Whether the connection stands and the server knows all subscriptions."""
        return self._link.connected

    def on_reconnect(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each time the connection came back. What others published
        meanwhile is lost."""
        self._link.on_reconnect(callback)

    def on_slow_consumer(self, callback: Callable[[str], None]) -> None:
        """Call `callback` with the subject of each message that was dropped because a
        subscription overflowed."""
        self._link.on_slow_consumer(callback)

    async def connect(self) -> None:
        """Connect, however long it takes. Complains in the log every ten seconds."""
        await self._link.connect()

    async def serve(self, service: object, *, group: bool = True) -> None:
        """See `Bus.serve`."""
        for contract in contracts_of(service):
            name = contract.contract_name
            callee = self._callee(contract, service, self._link.answer)
            self._callees.append(callee)
            door = self._call_door(callee)
            if group:
                await self._open(call_subject(name, "*"), door, queue=name)
            await self._open(instance_subject(self.instance, name, "*"), door)
            announcement = Announcement(
                callee,
                contract,
                instance=self.instance,
                process=self.service,
                group=group,
                clock=self.clock,
                answer=self._link.send_control,
            )
            for subject in announcement.subjects:
                await self._open(subject, announcement.receive)
            self._announcements.append(announcement)
            await self._listen(service, name)
        await self._link.settle()

    async def listen(self, owner: object, *, service: str) -> None:
        """See `Bus.listen`."""
        await self._listen(owner, service)
        await self._link.settle()

    async def publish(self, event: Event) -> None:
        """See `Bus.publish`."""
        name = event.event_name
        body = event.model_dump_json().encode()
        context = current_call()
        try:
            if self._tracer is None:
                await self._publish(name, body, context)
            else:
                with producer_span(self._tracer, name, context) as traced:
                    await self._publish(name, body, traced)
        except BaseException:
            self.metrics.event(name, "out", "error")
            raise
        self.metrics.event(name, "out", "ok")

    async def publish_raw(self, name: str, body: bytes) -> None:
        """Publish an event by its name and JSON, unchecked: for the command line.

        Raises: TooLarge, Unavailable.
        """
        await self._publish(name, body, current_call())

    async def drain(self) -> None:
        """See `Bus.drain`. Bounded by `drain_timeout` for calls, and as much for events."""
        for announcement in self._announcements:
            announcement.stop()
        subscriptions, self._subscriptions = self._subscriptions, []
        if self.connected:
            # Leaving the groups first: from here on, others get the calls.
            await self._bounded(
                asyncio.gather(
                    self._durable.drain(),
                    *map(_leave, subscriptions),
                    return_exceptions=True,
                )
            )
        results = await asyncio.gather(
            *(callee.finish(self.settings.drain_timeout) for callee in self._callees)
        )
        if sum(results):
            log.warning("drain_incomplete", calls=sum(results))
        if self.connected:
            await self._bounded(self.client.flush())

    async def close(self) -> None:
        """See `Bus.close`."""
        for callee in self._callees:
            await callee.stop()
        self._callees.clear()
        await self._durable.close()
        self._replies.fail_all(lambda: Unavailable("the bus was closed"))
        await self._link.close()
        self._sweeper.close()

    def _call_door(self, callee: Callee) -> Door:
        traffic = self.metrics.rpc_in

        def receive(subject: bytes, reply: bytes, payload: bytes, headers: bytes | None) -> None:
            traffic[0] += 1
            traffic[1] += len(payload)
            method = subject[subject.rindex(b".") + 1 :].decode()
            callee.receive(method, parse_call_head(headers), payload, reply)

        return receive

    async def _listen(self, owner: object, service: str) -> None:
        for listener in listeners(
            owner,
            service,
            metrics=self.metrics,
            tracer=self._tracer,
            timeout=self.settings.listener_timeout,
        ):
            if listener.listening.durable:
                await self._durable.start(listener)
                continue
            subscription = await apart(
                self.client.subscribe(
                    event_subject(listener.name),
                    queue=service if listener.listening.to == "one" else "",
                    cb=_event_callback(listener),
                    pending_msgs_limit=self.settings.event_pending_messages,
                    pending_bytes_limit=self.settings.event_pending_bytes,
                )
            )
            self._subscriptions.append(subscription)

    async def _publish(self, name: str, body: bytes, context: CallContext) -> None:
        headers = event_headers(context, f"{self.service}/{self.instance}")
        block = header_block(headers)
        self._link.check_size(f"event {name}", len(block) + len(body))
        if await self._durable.is_kept(name):
            await self._durable.publish(name, body, headers)
        else:
            self.client.send(event_subject(name).encode(), b"", block, body)

    async def _open(self, subject: str, door: Door, *, queue: str = "") -> None:
        self._subscriptions.append(await self.client.open_door(subject, door, queue=queue))

    async def _bounded(self, work: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(self.settings.drain_timeout):
                await work
        except (TimeoutError, errors.Error) as error:
            log.warning("drain_incomplete", err_type=type(error).__name__)


async def _leave(subscription: Subscription) -> None:
    await subscription.drain()  # type: ignore[no-untyped-call]


def _event_callback(listener: Listener) -> Callable[[Msg], Awaitable[None]]:
    async def received(message: Msg) -> None:
        await listener.handle(message.data, event_head(message.headers))

    return received
