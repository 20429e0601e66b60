"""The span of one event's fan-out: one for all its recipients, and only for recorded traces."""

from __future__ import annotations

from opentelemetry.trace import SpanKind, Tracer

from hubbub.contracts.event_log import Header
from hubbub.telemetry.tracing import context_from, links_to
from services.ddp_streamer.audiences import Event
from services.ddp_streamer.fanout.topics import Topics


class FanoutSpan:
    """From the first recipient to the last. Child of the event's publishing, and linked to it:
    there is one in every streamer that somebody of the audience is connected to."""

    def __init__(self, tracer: Tracer, event: Event, topics: Topics) -> None:
        change = context_from(event.headers[Header.TRACE_PARENT])
        self._listeners = topics.listeners((event.stream, event.key))
        self._offered = len(self._listeners)
        self._filtered = 0
        self._span = tracer.start_span(
            "streamer.fanout",
            context=change,
            kind=SpanKind.CONSUMER,
            links=links_to([change]),
            start_time=int(event.arrived * 1e9),
            attributes={
                "messaging.system": "nats",
                "messaging.destination.name": event.audience.partition(".")[0] + ".{id}",
                "messaging.operation.type": "process",
                "messaging.message.body.size": len(event.payload),
                "hubbub.stream": event.stream,
                "hubbub.sequence": event.sequence,
            },
        )

    def spread(self, recipients: int) -> None:
        """Of those who listened when it began, `recipients` have got it."""
        self._filtered = max(0, self._offered - recipients)

    def end(self, recipients: int) -> None:
        """It was queued for `recipients` connections."""
        waiting = (getattr(recipient, "backlog", 0) for recipient in self._listeners)
        self._span.set_attributes(
            {
                "recipients": recipients,
                "filtered": self._filtered,
                # Bytes; with this event's own frames, which are not written yet.
                "max_queue": max(waiting, default=0),
            }
        )
        self._span.end()
