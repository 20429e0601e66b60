"""The listening side of events, whatever carries them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from opentelemetry.trace import Tracer
from pydantic import ValidationError

from hubbub.bus.context import CallContext, set_current_call
from hubbub.bus.headers import CallHead
from hubbub.bus.metrics import BusMetrics
from hubbub.bus.tracing import consumer_span
from hubbub.contracts.base import Event, Listening, listeners_of
from hubbub.telemetry.log import bind_contextvars, clear_contextvars, get_logger

log = get_logger(__name__)


class Unreadable(Exception):
    """The event does not fit its class; trying again cannot help."""


class Listener:
    """One `@listen` method of one object, in the name of one service."""

    def __init__(
        self,
        service: str,
        listening: Listening,
        handler: Callable[..., Awaitable[None]],
        *,
        metrics: BusMetrics,
        tracer: Tracer | None,
        timeout: float,
    ) -> None:
        self.service = service
        self.listening = listening
        self.name = listening.event.event_name
        self._handler = handler
        self._metrics = metrics
        self._tracer = tracer
        self._timeout = timeout

    async def handle(self, body: bytes, head: CallHead) -> Exception | None:
        """Call the method with the event in `body`.

        Failures are logged and counted here and returned, so that one listener never stops
        another; who delivers durably decides what to do about them.
        """
        context = CallContext(
            request_id=head.request_id,
            origin=head.origin,
            user_id=head.user_id,
            caller=head.caller,
            trace_parent=head.trace_parent,
            trace_state=head.trace_state,
        )
        set_current_call(context)
        clear_contextvars()
        if head.request_id is not None or head.user_id is not None:
            bind_contextvars(req=head.request_id, uid=head.user_id)
        try:
            event = self.listening.event.model_validate_json(body)
        except ValidationError as error:
            self._metrics.event(self.name, "in", "invalid")
            fields = [".".join(map(str, problem["loc"])) for problem in error.errors()]
            # Without the traceback, which would show the values.
            log.error("event_unreadable", name=self.name, fields=fields, caller=head.caller)  # noqa: TRY400
            return Unreadable(f"{self.name}: {', '.join(fields)}")
        try:
            await self._run(event, context)
        except Exception as error:
            self._metrics.event(self.name, "in", "error")
            log.exception(
                "listener_failed",
                name=self.name,
                listener=getattr(self._handler, "__qualname__", "?"),
                err_type=type(error).__name__,
            )
            return error
        self._metrics.event(self.name, "in", "ok")
        return None

    async def _run(self, event: Event, context: CallContext) -> None:
        async with asyncio.timeout(self._timeout):
            if self._tracer is None:
                await self._handler(event)
                return
            with consumer_span(self._tracer, self.name, context):
                await self._handler(event)


def listeners(
    owner: object, service: str, *, metrics: BusMetrics, tracer: Tracer | None, timeout: float
) -> list[Listener]:
    """The `@listen` methods of `owner`.

    Raises: TypeError: one of them asks for what there is not.
    """
    found = []
    for listening, handler in listeners_of(owner):
        if listening.durable and listening.to != "one":
            raise TypeError(f"{handler.__qualname__}: durable events go to one replica, not to all")
        if not hasattr(listening.event, "event_name"):
            raise TypeError(f"{listening.event.__name__} has no name: class X(Event, name=…)")
        found.append(
            Listener(service, listening, handler, metrics=metrics, tracer=tracer, timeout=timeout)
        )
    return found
