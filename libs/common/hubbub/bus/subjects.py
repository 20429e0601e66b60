"""Names on the wire: subjects of calls and events, of streams and consumers. Pure.

Every subject begins with the version of the wire format; another format means another prefix,
so both can live on one broker.
"""

from __future__ import annotations

PREFIX = "hubbub.v1"

DOMAIN_STREAM = "HUBBUB_DOMAIN"
"""The stream that keeps events for durable listeners."""

DEAD_LETTER_STREAM = "HUBBUB_DEAD_LETTERS"
"""The stream of events that a durable listener could not handle."""

DEAD_LETTER_WILDCARD = f"{PREFIX}.dead-letter.>"


def call_subject(service: str, method: str) -> str:
    """Where any instance of `service` is called; its queue group is the service's name."""
    return f"{PREFIX}.rpc.{service}.{method}"


def instance_subject(instance: str, service: str, method: str) -> str:
    """Where exactly one instance of `service` is called."""
    return f"{PREFIX}.rpc-to.{instance}.{service}.{method}"


def event_subject(name: str) -> str:
    """Where events of this name are published."""
    return f"{PREFIX}.event.{name}"


def dead_letter_subject(service: str, name: str) -> str:
    """Where `service` puts events called `name` that it gave up on."""
    return f"{PREFIX}.dead-letter.{service}.{name}"


def consumer_name(service: str, event_name: str) -> str:
    """The durable consumer of one service for one event; dots are not allowed in it.

    `=` stands for a dot: it is allowed in consumer names and not used in event names.
    """
    return f"{service}={event_name.replace('.', '=')}"
