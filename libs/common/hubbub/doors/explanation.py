"""Why did this user not get this message? The answer, from what everybody remembers. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import Field
from pydantic.alias_generators import to_camel

from hubbub.contracts.documents import Frozen
from hubbub.contracts.explain import (
    Appended,
    Delivery,
    HubMemory,
    MessageFacts,
    Outcome,
    Stay,
    StreamerMemory,
)

MESSAGES: Final = "room-messages"


class AskedHub(Frozen):
    """A hub and what it remembers."""

    instance: str
    memory: HubMemory


class AskedStreamer(Frozen):
    """A streamer and what it remembers."""

    instance: str
    memory: StreamerMemory


class Access(Frozen):
    """What the user may do in the room now."""

    read: bool
    """Whether the room may be followed, as a subscription is judged."""
    held: list[str]
    """Of the permissions that decide about it, those that the user holds."""


class Findings(Frozen):
    """All that is known."""

    user_id: str
    message: MessageFacts
    stays: list[Stay]
    access: Access
    hubs: list[AskedHub]
    streamers: list[AskedStreamer]
    silent: list[str] = Field(default_factory=list)
    """Instances that were there and did not answer."""

    @property
    def event(self) -> Appended | None:
        """The event that told the room of the message."""
        found = [
            event for hub in self.hubs for event in hub.memory.events if event.stream == MESSAGES
        ]
        first = min((event.committed for event in found), default=0)
        # When two hubs believed that they lead, the one of the later epoch is right.
        same = [event for event in found if event.committed == first]
        return max(same, key=lambda event: event.epoch, default=None)

    @property
    def was_member(self) -> bool:
        """Whether the user was in the room when the message was sent."""
        return any(_lasted(stay, self.message.ts) for stay in self.stays)

    @property
    def is_member(self) -> bool:
        return any(stay.until is None for stay in self.stays)

    @property
    def deliveries(self) -> Iterator[tuple[AskedStreamer, Delivery]]:
        for streamer in self.streamers:
            for delivery in streamer.memory.deliveries:
                yield streamer, delivery


class Verdict(Frozen):
    """The answer in one line."""

    outcome: Outcome | Literal["not_published"]
    reason: str
    text: str


_WORSE: Final[Sequence[Outcome]] = (
    "dropped",
    "filtered",
    "unknown",
    "not_subscribed",
    "not_connected",
)
"""What says most comes first, when no connection has got it."""

_TEXTS: Final[Mapping[str, str]] = {
    "slow_client": "the client did not read, so it was disconnected and what waited was dropped",
    "not_member": "the user was not a member of the room",
    "no_permission": "the user may not follow the room",
    "unsubscribed": "the client did not listen to the room at that moment",
    "opened_later": "the client connected later; it gets the message when it loads the room",
    "not_arrived": "the client listened, but the message never came to that streamer",
    "older_than_memory": "it is older than what the streamers remember",
    "place_unknown": "no hub remembers where in the log the message stands",
}


def verdict(findings: Findings) -> Verdict:
    """The one line."""
    got = [one for _, one in findings.deliveries if one.outcome in ("delivered", "recovered")]
    if got:
        return _delivered(got, sum(1 for _ in findings.deliveries))
    if not findings.was_member and (findings.message.room_type != "c" or not findings.access.read):
        return _said("filtered", "not_member")
    if findings.event is None and (told := _not_published(findings)) is not None:
        return told
    for outcome in _WORSE:
        for _, delivery in findings.deliveries:
            if delivery.outcome == outcome:
                return _said(outcome, delivery.reason)
    return _nowhere(findings)


def _delivered(got: Sequence[Delivery], connections: int) -> Verdict:
    best = max(got, key=lambda one: (one.acknowledged or False, one.written or False))
    where = f"on {len(got)} of {connections} connections"
    if best.acknowledged:
        text = f"delivered {where}; the client has answered since, so it has the message"
    elif best.written:
        text = f"delivered {where}; it left the server, the client has not answered a ping since"
    else:
        text = f"delivered {where}; it still waits for a client that reads slowly"
    if best.outcome == "recovered":
        text += " (it had been missing and was fetched from the log)"
    return Verdict(outcome=best.outcome, reason="", text=text)


def _not_published(findings: Findings) -> Verdict | None:
    """Why the hubs know of no event; None when the streamers may know more."""
    reasons = [hub.memory.skipped for hub in findings.hubs if hub.memory.skipped]
    if reasons:
        text = f"not published: the hub made no event of it ({reasons[-1]})"
        return Verdict(outcome="not_published", reason=reasons[-1], text=text)
    if not findings.hubs:
        return Verdict(outcome="unknown", reason="no_hub", text="unknown: no hub answered")
    sent = _milliseconds(findings.message.ts)
    if all(hub.memory.since > sent for hub in findings.hubs):
        text = "unknown: the message is older than what the hubs remember"
        return Verdict(outcome="unknown", reason="older_than_memory", text=text)
    if any(hub.memory.since <= sent and hub.memory.leads for hub in findings.hubs):
        text = "not published: the hub has not read the change, or is behind"
        return Verdict(outcome="not_published", reason="not_seen", text=text)
    return None


def _nowhere(findings: Findings) -> Verdict:
    """No streamer remembers a connection of the user."""
    event = findings.event
    at = event.published if event is not None else _milliseconds(findings.message.ts)
    remember = [one for one in findings.streamers if one.memory.since <= at]
    if not remember:
        return _said("unknown", "older_than_memory")
    text = "not connected: no streamer remembers a connection of the user"
    unsure = len(findings.streamers) - len(remember) + len(findings.silent)
    if unsure:
        text += f"; {unsure} began later or did not answer, and one that has ended is not asked"
    return Verdict(outcome="not_connected", reason="", text=text)


def _said(outcome: Outcome, reason: str) -> Verdict:
    name = outcome.replace("_", " ")
    return Verdict(
        outcome=outcome, reason=reason, text=f"{name}: {_TEXTS.get(reason, reason or name)}"
    )


def _lasted(stay: Stay, moment: datetime) -> bool:
    begun = stay.since is None or stay.since <= moment
    return begun and (stay.until is None or stay.until > moment)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


# --- showing ----------------------------------------------------------------------------------


def as_document(findings: Findings) -> dict[str, Any]:
    """All of it as JSON, names in camelCase, moments in ISO 8601."""
    event = findings.event
    document = findings.model_dump(mode="json") | {
        "wasMember": findings.was_member,
        "isMember": findings.is_member,
        "event": None if event is None else event.model_dump(mode="json"),
        "push": "not_offered",
        "verdict": verdict(findings).model_dump(mode="json"),
    }
    shown: dict[str, Any] = _camel(document)
    return shown


_MOMENTS: Final = frozenset("since committed published opened closed queued arrived".split())


def _camel(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            to_camel(key): iso(item) if key in _MOMENTS and type(item) is int else _camel(item)
            for key, item in value.items()
        }
    return [_camel(item) for item in value] if isinstance(value, list) else value


def iso(milliseconds: int) -> str:
    """A moment as people and programs read it; empty for none."""
    if not milliseconds:
        return ""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
