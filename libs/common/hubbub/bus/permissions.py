"""What each user of NATS may say and hear: one table. Pure.

Every service is a user of its own, so that a taken-over one can do what it did before and
nothing else: a streamer can forge a typing notice, never a message. What a service calls, tells
and hears stands here by contract and event; the subjects follow from that. The configuration of
every NATS server (`hubbub.bus.broker`), the documentation and the tests are made from this.

Everybody has an inbox of its own, which no other service may listen to, and may answer whoever
asked it (`allow_responses` of the NATS server), but not write to an inbox unasked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from hubbub.bus.subjects import (
    DEAD_LETTER_STREAM,
    DOMAIN_STREAM,
    PREFIX,
    call_subject,
    consumer_name,
    dead_letter_subject,
    event_subject,
    instance_subject,
)
from hubbub.contracts.account import Account
from hubbub.contracts.apps import Apps, AppsChanged
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.base import Contract, Event
from hubbub.contracts.event_log import (
    APPEND_SUBJECTS,
    APPS,
    CONTROL,
    EPHEMERAL_SUBJECTS,
    LIVE_SUBJECTS,
    LOG_STREAM,
)
from hubbub.contracts.events import (
    Audited,
    FilesOrphaned,
    MembershipChanged,
    PermissionsChanged,
    RolesChanged,
    RoomChanged,
    SettingsChanged,
    UserChanged,
    UserIdentityChanged,
)
from hubbub.contracts.explain import HubRecall, StreamerRecall
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.pictures import Pictures
from hubbub.contracts.presence import INSTANCES_BUCKET, Presence, PresenceWanted
from hubbub.contracts.provisioning import Provisioning
from hubbub.contracts.push import Push
from hubbub.contracts.streamers import (
    SESSIONS_BUCKET,
    TAKEN_SUBJECTS,
    StreamerControl,
    StreamerReported,
)
from hubbub.ids import subject_token

CLI = "cli"
"""The user of the command line: may hear everything, call and tell, but not speak as a hub."""

_API = "$JS.API"
_LOG_READING = (f"{_API}.STREAM.INFO.{LOG_STREAM}", f"{_API}.DIRECT.GET.{LOG_STREAM}")

Contracts = tuple[type[Contract], ...]
Events = tuple[type[Event], ...]


@dataclass(frozen=True, slots=True)
class Component:
    """What one service does on the bus."""

    serves: Contracts = ()
    """Its replicas answer as a group, and each by its own name."""
    serves_alone: Contracts = ()
    """Each replica answers by its own name only."""
    calls: Contracts = ()
    calls_one: Contracts = ()
    """Called at one instance, which is found by asking who is there."""
    tells: Events = ()
    hears: Events = ()
    keeps: Events = ()
    """Heard durably."""
    publishes: tuple[str, ...] = ()
    """Subjects beside those of calls and events."""
    subscribes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rights:
    """What a NATS server lets one user do. A subject followed by a space and a name may only be
    subscribed to as a member of that queue group."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    answers: int = 0
    """How often it may answer one question."""


def _bucket(name: str) -> tuple[str, ...]:
    """What using a bucket takes: finding or making it, writing and reading keys."""
    stream = f"KV_{name}"
    return (
        f"$KV.{name}.*",
        f"{_API}.STREAM.INFO.{stream}",
        f"{_API}.STREAM.CREATE.{stream}",
        f"{_API}.STREAM.MSG.GET.{stream}",
        f"{_API}.DIRECT.GET.{stream}.>",
    )


def _log_consumer(name: str) -> tuple[str, ...]:
    """What reading the log with a consumer of one's own takes, which remembers how far it got."""
    consumer = f"{LOG_STREAM}.{name}"
    return (
        f"{_API}.CONSUMER.INFO.{consumer}",
        f"{_API}.CONSUMER.DURABLE.CREATE.{consumer}",
        f"{_API}.CONSUMER.DELETE.{consumer}",
        f"{_API}.CONSUMER.MSG.NEXT.{consumer}",
        f"$JS.ACK.{consumer}.>",
    )


COMPONENTS: Mapping[str, Component] = MappingProxyType(
    {
        "account": Component(
            serves=(Account,),
            calls=(Authorization, Messaging),
            hears=(SettingsChanged,),
            keeps=(Audited,),
        ),
        "apps-engine": Component(
            serves=(Apps, Provisioning),
            calls=(Account, Authorization, Messaging),
            tells=(AppsChanged, Audited),
            hears=(MembershipChanged,),
            publishes=(
                f"{EPHEMERAL_SUBJECTS}user.*",
                f"{EPHEMERAL_SUBJECTS}{APPS}",
                *_log_consumer("apps-engine"),
            ),
        ),
        "authorization": Component(
            serves=(Authorization,),
            tells=(Audited,),
            hears=(
                MembershipChanged,
                PermissionsChanged,
                RolesChanged,
                RoomChanged,
                SettingsChanged,
                UserChanged,
            ),
        ),
        "ddp-streamer": Component(
            serves_alone=(StreamerControl, StreamerRecall),
            calls=(Account, Apps, Authorization, Messaging, Pictures, Presence, Push),
            tells=(StreamerReported,),
            hears=(PresenceWanted, StreamerReported),
            publishes=(
                f"{EPHEMERAL_SUBJECTS}>",
                f"{TAKEN_SUBJECTS}*",
                *_LOG_READING,
                *_bucket(INSTANCES_BUCKET),
                *_bucket(SESSIONS_BUCKET),
                f"{_API}.STREAM.UPDATE.KV_{SESSIONS_BUCKET}",
            ),
            subscribes=(
                f"{LIVE_SUBJECTS}>",
                f"{EPHEMERAL_SUBJECTS}>",
                # Live and ephemeral on one subscription, which halves what an audience costs.
                f"{PREFIX}.*.room.*",
                f"{PREFIX}.*.user.*",
                f"{TAKEN_SUBJECTS}*",
            ),
        ),
        "gateway": Component(
            serves=(Pictures,),
            calls=(Account, Apps, Authorization, Messaging, Pictures, Presence, Push),
            calls_one=(HubRecall, StreamerRecall),
            hears=(RoomChanged, SettingsChanged, UserChanged),
            keeps=(FilesOrphaned,),
        ),
        "messaging": Component(
            serves=(Messaging,),
            calls=(Apps, Authorization, Pictures, Presence),
            tells=(Audited, FilesOrphaned),
            hears=(
                AppsChanged,
                MembershipChanged,
                PermissionsChanged,
                RolesChanged,
                RoomChanged,
                SettingsChanged,
                UserChanged,
            ),
            keeps=(UserIdentityChanged,),
            publishes=(f"{EPHEMERAL_SUBJECTS}user.*",),
        ),
        "operator": Component(
            calls=(Provisioning,), calls_one=(StreamerControl,), hears=(StreamerReported,)
        ),
        "presence": Component(
            serves=(Presence,),
            calls=(Authorization,),
            tells=(PresenceWanted,),
            hears=(SettingsChanged, UserChanged),
            publishes=(f"{EPHEMERAL_SUBJECTS}presence", *_bucket(INSTANCES_BUCKET)[1:]),
            subscribes=(f"$KV.{INSTANCES_BUCKET}.>",),
        ),
        "push": Component(serves=(Push,), hears=(UserChanged,)),
        "stream-hub": Component(
            serves_alone=(HubRecall,),
            tells=(
                MembershipChanged,
                PermissionsChanged,
                RolesChanged,
                RoomChanged,
                SettingsChanged,
                UserChanged,
                UserIdentityChanged,
            ),
            publishes=(
                f"{APPEND_SUBJECTS}>",
                f"{LIVE_SUBJECTS}{CONTROL}",
                *_LOG_READING,
                f"{_API}.STREAM.CREATE.{LOG_STREAM}",
                f"{_API}.STREAM.UPDATE.{LOG_STREAM}",
                f"{_API}.STREAM.DELETE.{LOG_STREAM}",
            ),
        ),
    }
)
"""Service → what it does."""


def all_rights() -> dict[str, Rights]:
    """User → rights: every service, and the command line."""
    rights = {name: rights_of(name, component) for name, component in COMPONENTS.items()}
    rights[CLI] = Rights(
        publish=(
            f"{PREFIX}.rpc.>",
            f"{PREFIX}.rpc-to.>",
            f"{PREFIX}.event.>",
            "$SRV.>",
            f"{_API}.>",
        ),
        subscribe=(">",),
    )
    return rights


def rights_of(user: str, component: Component) -> Rights:
    """The subjects that a component needs, and no others."""
    return Rights(
        publish=_distinct(_published(user, component)),
        subscribe=_distinct(_subscribed(user, component)),
        answers=_answers(len(component.serves) + len(component.serves_alone)),
    )


def app_rights(app_id: str) -> Rights:
    """What the host of one app may do: call its own bridge, and hear what is meant for it."""
    app = subject_token(app_id)
    return Rights(
        publish=(call_subject("appbridge", f"{app}.*"),),
        subscribe=(_inbox(f"app-{app}"), f"{PREFIX}.apps.{app}.>"),
        answers=1,
    )


def _published(user: str, component: Component) -> Iterator[str]:
    for contract in component.calls:
        yield call_subject(contract.contract_name, "*")
    for contract in component.calls_one:
        yield instance_subject("*", contract.contract_name, "*")
        yield f"$SRV.PING.{contract.contract_name}"
    for event in component.tells:
        yield event_subject(event.event_name)
    if component.tells:
        yield f"{_API}.STREAM.NAMES"  # whether somebody keeps the event
    for event in component.keeps:
        yield from _keeping(user, event)
    yield from component.publishes


def _keeping(user: str, event: type[Event]) -> Iterator[str]:
    """What listening durably takes: the streams, a consumer of one's own, and putting aside."""
    name = event.event_name
    consumer = f"{DOMAIN_STREAM}.{consumer_name(user, name)}"
    for verb in ("INFO", "CREATE", "UPDATE"):
        yield f"{_API}.STREAM.{verb}.{DOMAIN_STREAM}"
    for verb in ("INFO", "CREATE"):
        yield f"{_API}.STREAM.{verb}.{DEAD_LETTER_STREAM}"
    yield f"{_API}.CONSUMER.INFO.{consumer}"
    yield f"{_API}.CONSUMER.DURABLE.CREATE.{consumer}"
    yield f"{_API}.CONSUMER.MSG.NEXT.{consumer}"
    yield f"$JS.ACK.{consumer}.>"
    yield dead_letter_subject(user, name)


def _subscribed(user: str, component: Component) -> Iterator[str]:
    yield _inbox(user)
    for contract in component.serves:
        name = contract.contract_name
        yield f"{call_subject(name, '*')} {name}"
    for contract in (*component.serves, *component.serves_alone):
        name = contract.contract_name
        yield instance_subject("*", name, "*")
        yield "$SRV.*"
        yield f"$SRV.*.{name}"
        yield f"$SRV.*.{name}.*"
    for event in component.hears:
        yield event_subject(event.event_name)
    yield from component.subscribes


def _answers(contracts: int) -> int:
    """Once, but each contract of a process tells who asks everybody that it is there.

    Of the answers that are allowed, the server takes one away for each subscription of the
    connection beyond the first that the question reaches (measured with 2.15).
    """
    return max(0, 2 * contracts - 1)


def _inbox(user: str) -> str:
    return f"_INBOX.{user}.>"


def _distinct(subjects: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(subjects))
