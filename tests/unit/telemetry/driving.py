"""Everything that a process can be made to count, and what strangers would like it to."""

from __future__ import annotations

import importlib
import itertools
import pkgutil
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import Any, get_args

from prometheus_client import CollectorRegistry

import hubbub.contracts
from hubbub.bus import metrics as bus
from hubbub.bus.metrics import BusMetrics
from hubbub.bus.permissions import COMPONENTS
from hubbub.contracts.apps import AppStatus
from hubbub.contracts.base import Contract, Event
from hubbub.contracts.events import RoomChanged, SettingsChanged, UserChanged
from hubbub.contracts.presence import Status
from hubbub.contracts.push import DeviceKind
from hubbub.contracts.workspace import PERMISSIONS
from hubbub.ids import RoomId, UserId
from hubbub.mongo import MongoMetrics
from hubbub.telemetry.metrics import ProcessMetrics, UpState, new_registry
from services.account import metrics as account
from services.apps_engine import metrics as apps
from services.authorization.metrics import ACCESS, AuthorizationMetrics
from services.ddp_streamer import metrics as streamer
from services.ddp_streamer.common import Cause
from services.ddp_streamer.positions import Missed
from services.ddp_streamer.service import rules
from services.ddp_streamer.settings import StreamerSettings
from services.ddp_streamer.streams import STREAMS
from services.ddp_streamer.tally import Dropped, Filtered, Recovery
from services.gateway.metrics import GatewayMetrics
from services.gateway.rest import endpoints
from services.messaging.metrics import (
    DoorMetrics,
    EffectMetrics,
    FunnelMetrics,
    HookMetrics,
    Stage,
    Verdict,
)
from services.operator import metrics as operator
from services.presence.metrics import PresenceMetrics
from services.push import metrics as push
from services.stream_hub.metrics import SHARD, HubMetrics

STRANGE = [f"stranger-{number}" for number in range(3_000)]
"""What clients, tools and other versions may send; more than any process may show."""
_CODES = (200, 201, 204, 206, 302, 304, 400, 401, 403, 404, 405, 413, 414, 429, 500, 503)
_VERBS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND")


def _subclasses(base: Any) -> Iterator[Any]:
    """All of them that the code defines, however deep; not those of other tests."""
    for module in pkgutil.iter_modules(hubbub.contracts.__path__):
        importlib.import_module(f"hubbub.contracts.{module.name}")
    for found in base.__subclasses__():
        if found.__module__.startswith("hubbub."):
            yield found
        yield from _subclasses(found)


def actions(contracts: Iterable[type[Contract]] | None = None) -> list[tuple[str, str]]:
    """(service, method) of these contracts; of all there are unless they are named."""
    return sorted(
        {
            (contract.contract_name, method)
            for contract in (_subclasses(Contract) if contracts is None else contracts)
            for method in contract.contract_actions
        }
    )


def called(service: str) -> list[tuple[str, str]]:
    """The actions that a service calls."""
    component = COMPONENTS[service]
    return actions((*component.calls, *component.calls_one))


def served(service: str) -> list[tuple[str, str]]:
    """The actions that a service keeps."""
    component = COMPONENTS[service]
    return actions((*component.serves, *component.serves_alone))


def _tasks(names: list[str]) -> Any:
    return [SimpleNamespace(get_name=lambda name=name: name) for name in names]


def process(registry: CollectorRegistry, component: str) -> None:
    """What all of them have, its bus included."""
    metrics = ProcessMetrics(registry, component=component)
    for state in get_args(UpState):
        metrics.set_state(state)
    for number in range(10):
        metrics.dependency_up.labels(f"check-{number}").set(1)
    words = [f"{a}-{b}" for a in "abcdefghij" for b in ("work", "watch", "other", "more", "last")]
    metrics.tasks.find = lambda: _tasks([*STRANGE, *words, "Task-7", "funnel r1", "funnel r2"])
    for name in (*STRANGE, *words):
        metrics.task_failed(name)


def calls(registry: CollectorRegistry, service: str) -> None:
    """Every action that `service` calls or keeps and every event that it tells or hears, with
    every ending that there is. NATS refuses it all others."""
    metrics = BusMetrics(registry)
    for action in called(service):
        client = metrics.client(*action)
        client.outcomes = dict.fromkeys(client.outcomes, 1)
        client.durations.observe(0.1)
        client.retries = 1
    for action in served(service):
        server = metrics.server(*action)
        server.outcomes = dict.fromkeys(server.outcomes, 1)
        server.durations.observe(0.1)
    metrics.unknown_methods = len(STRANGE)
    component = COMPONENTS[service]
    ways: dict[bus.Direction, tuple[type[Event], ...]] = {
        "in": (*component.hears, *component.keeps),
        "out": component.tells,
    }
    for way, events in ways.items():
        for event, outcome in itertools.product(events, get_args(bus.EventOutcome)):
            metrics.event(event.event_name, way, outcome)
    for event in component.keeps:
        metrics.redelivered(event.event_name)
        metrics.dead_letter(event.event_name)
    metrics.nats.traffic = lambda: dict.fromkeys(get_args(bus.Direction), (10, 100))


def database(registry: CollectorRegistry) -> None:
    """Every command, those that no release of MongoDB knows included."""
    metrics = MongoMetrics.of(registry)
    for command in (*MongoMetrics._COMMANDS, *STRANGE):
        for outcome in ("ok", "error"):
            metrics.observe(command, outcome, 100)


def _streamer(registry: CollectorRegistry) -> None:
    metrics = streamer.StreamerMetrics(registry)
    for outcome in (
        *("ok", "refused_limit", "refused_draining", "bad_origin", "bad_request", "timeout"),
    ):
        metrics.handshakes.labels(outcome).inc()
    for cause in get_args(Cause):
        metrics.disconnects.labels(cause).inc()
    for kind in ("1002", "1003", "1007", "1009", "message", "not_connected", "flood"):
        metrics.bad_input.labels(kind).inc()
    for stream in (*STREAMS, "other"):
        metrics.subscriptions.labels(stream).inc()
    for rule in rules(StreamerSettings()):
        metrics.ratelimited.labels(rule.name).inc()
    for method in (*get_args(streamer.LoginMethod), *STRANGE):
        for ended in get_args(streamer.LoginOutcome):
            metrics.login(method, ended)
    for stage in streamer.STAGES:
        metrics.latency(stage, 3.0)
    for recovery in get_args(Recovery):
        metrics.recovery(recovery, 4)
    for missed in (None, *get_args(Missed)):
        metrics.client_recovery(missed, 4)
    for filtered in get_args(Filtered):
        metrics.filter(filtered)
    for dropped in get_args(Dropped):
        metrics.drop(dropped)
    for counts in (
        metrics.tally.messages_in,
        metrics.tally.messages_out,
        metrics.tally.bytes_in_by_type,
        metrics.tally.bytes_out_by_type,
        metrics.tally.events,
        metrics.tally.delivered,
    ):
        counts.update([*STREAMS, *STRANGE])
    metrics.transfer()


def _gateway(registry: CollectorRegistry) -> None:
    metrics = GatewayMetrics(registry)
    routes = [endpoint.path for endpoint in endpoints.table()]
    for route, verb, code in itertools.product([*routes, "unknown"], _VERBS, _CODES):
        metrics.answered(route, verb, code, 0.1)
    for verb in STRANGE:
        metrics.answered("unknown", verb, 404, 0.1)
    for kind in ("body", "slow_reader", "too_many_half_open", "headers_too_large", "not_http"):
        metrics.bad_input(kind)
    metrics.message_sent()
    metrics.uploaded(10)


def _messaging(registry: CollectorRegistry) -> None:
    FunnelMetrics(registry)
    EffectMetrics(registry)
    doors = DoorMetrics(registry)
    for stage in get_args(Stage):
        with doors.sending(stage):
            pass
    hooks = HookMetrics(registry)
    for verdict in get_args(Verdict):
        hooks.asked(verdict)
    with doors.searching():
        pass


def _authorization(registry: CollectorRegistry) -> None:
    metrics = AuthorizationMetrics(registry)
    for permission in (*PERMISSIONS, ACCESS, *STRANGE):
        for allowed in (True, False):
            metrics.decided(permission, allowed=allowed)
    for event in (
        UserChanged(user_id=UserId("u"), committed=1),
        RoomChanged(room_id=RoomId("r")),
        SettingsChanged(setting_id=STRANGE[0]),
    ):
        metrics.invalidated(event)


def _account(registry: CollectorRegistry) -> None:
    metrics = account.AccountMetrics(registry)
    for variant in get_args(account.Variant):
        for outcome in get_args(account.Outcome):
            metrics.logged_in(variant, outcome)
    for via in ("registration", "administrator"):
        metrics.registrations.labels(via).inc()


def _apps(registry: CollectorRegistry) -> None:
    metrics = apps.AppsMetrics(registry)
    metrics.counted(dict.fromkeys(AppStatus, 3))
    for app in (f"app-{number}" for number in range(300)):
        for asked, outcome in itertools.product(get_args(apps.Asked), get_args(apps.Outcome)):
            metrics.asked(app, asked, outcome, 0.1)
        metrics.restarted(app)
    webhooks = apps.WebhookMetrics(registry)
    for called in get_args(apps.CallOutcome):
        webhooks.called(called, 0.1)
    for delivered in get_args(apps.HookOutcome):
        webhooks.delivered(delivered)


def _presence(registry: CollectorRegistry) -> None:
    metrics = PresenceMetrics(registry)
    for before, after in itertools.product(Status, Status):
        metrics.changed(before, after)
    for sent in (True, False):
        metrics.announced(sent=sent)
    metrics.counted(dict.fromkeys(Status, 3), 4)


def _push(registry: CollectorRegistry) -> None:
    metrics = push.PushMetrics(registry)
    for kind in DeviceKind:
        metrics.registered(kind)
    for reason in get_args(push.Reason):
        metrics.forgotten(reason)


def _hub(registry: CollectorRegistry) -> None:
    metrics = HubMetrics(registry)
    for collection in ("rocketchat_message", "users", "rocketchat__trash", *STRANGE):
        for operation in ("insert", "update", "replace", "delete", "drop", *STRANGE[:50]):
            metrics.count_change(collection, operation)
    for stream in (*STREAMS, "control"):
        metrics.count_published(stream, 100)
    for reason in ("acquire", "renew", "taken", "expired"):
        metrics.lease_failures.labels(SHARD, reason).inc()
    for outcome in ("token", "start_after", "lost"):
        metrics.resumes.labels(outcome).inc()
    for number in range(20):
        metrics.skipped.labels(f"reason-{number}").inc()
        metrics.resyncs.labels(f"reason-{number}").inc()


def _operator(registry: CollectorRegistry) -> None:
    metrics = operator.OperatorMetrics(registry)
    for kind in ("streamerpool", "pod"):
        for outcome in get_args(operator.Outcome):
            metrics.reconciled(kind, outcome, 0.1)
        metrics.watch_age(kind, lambda: 3.0)
    for drained in get_args(operator.DrainOutcome):
        metrics.drain(drained)
    for pool in STRANGE:
        metrics.imbalance(pool, 2.0)


SERVICES: dict[str, tuple[Callable[[CollectorRegistry], None], bool]] = {
    "account": (_account, True),
    "apps-engine": (_apps, True),
    "authorization": (_authorization, True),
    "ddp-streamer": (_streamer, False),
    "gateway": (_gateway, True),
    "messaging": (_messaging, True),
    "operator": (_operator, False),
    "presence": (_presence, True),
    "push": (_push, True),
    "stream-hub": (_hub, True),
}
"""Service → (drives its own meters, whether it has a database)."""


def driven(service: str) -> CollectorRegistry:
    """The registry of a process of `service` that has seen everything."""
    drive, has_database = SERVICES[service]
    registry = new_registry()
    process(registry, service)
    calls(registry, service)
    if has_database:
        database(registry)
    drive(registry)
    return registry
