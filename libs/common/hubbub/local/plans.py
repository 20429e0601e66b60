"""Which processes make a whole Hubbub, and what each is told. Pure but for the environment."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import metadata

from hubbub.local.child import Plan
from hubbub.local.door import service as door

SERVICES_GROUP = "hubbub.services"
STREAMER, GATEWAY, HUB, ACCOUNT = "ddp-streamer", "gateway", "stream-hub", "account"

ONLY_IN_A_CLUSTER = frozenset({"operator"})
"""Services that look after a Kubernetes cluster; one machine has none."""

# service → variable of its public port
PORTS = {STREAMER: "HUBBUB_STREAMER_PORT", GATEWAY: "HUBBUB_GATEWAY_PORT"}

# Seconds that each stage has to stop; with the servers' they stay below ten.
STOP_WITHIN = {STREAMER: 4.0, GATEWAY: 1.5, HUB: 1.0}
STOP_OTHERS_WITHIN = 1.5
_CANCEL_BEFORE_KILL = 0.5  # seconds

LAPTOP = {
    # Our own door is the proxy that X-Forwarded-For may be believed from.
    "HUBBUB_HTTP_FORWARDED_COUNT": "1",
    # A person who stops everything does not want it spread over a minute.
    "HUBBUB_STREAMER_DRAIN_WINDOW": "0.5",
    "HUBBUB_STREAMER_DRAIN_PATIENCE": "2",
    "HUBBUB_MESSAGING_DRAIN_TIMEOUT": "1",
    # Whoever develops a bot here should meet its own limits, not ours; 0 switches one off.
    "HUBBUB_STREAMER_RATE_ADDRESS": "0",
    "HUBBUB_STREAMER_RATE_USER": "0",
    "HUBBUB_STREAMER_RATE_CONNECTION": "0",
    "HUBBUB_STREAMER_RATE_USER_METHOD": "0",
    "HUBBUB_STREAMER_RATE_CONNECTION_METHOD": "0",
    "HUBBUB_STREAMER_RATE_SEND_MESSAGE": "0",
    "HUBBUB_STREAMER_RATE_CREATE_DIRECT": "0",
    "HUBBUB_STREAMER_RATE_LOGIN": "0",
    # All clients of a machine share one address.
    "HUBBUB_STREAMER_MAX_ANONYMOUS_PER_ADDRESS": "0",
}
"""Settings that differ from a cluster's, unless the environment says otherwise."""

Commands = Mapping[str, Sequence[str]]
"""Service → the command that runs it."""


def installed_services() -> dict[str, list[str]]:
    """Every installed service that one machine can run, as `hubbub run` does it."""
    names = {entry.name for entry in metadata.entry_points(group=SERVICES_GROUP)}
    command = [sys.executable, "-m", "hubbub.cli.main", "run"]
    return {name: [*command, name] for name in sorted(names - ONLY_IN_A_CLUSTER)}


def service_plans(
    commands: Commands, *, streamers: int, shared: Mapping[str, str], admin: Mapping[str, str]
) -> list[Plan]:
    """One plan per process, streamers numbered."""
    plans = []
    for service, command in commands.items():
        copies = streamers if service == STREAMER else 1
        for number in range(1, copies + 1):
            within = STOP_WITHIN.get(service, STOP_OTHERS_WITHIN)
            plans.append(
                Plan(
                    name=f"{service}-{number}" if copies > 1 else service,
                    command=command,
                    environment={
                        **shared,
                        **(admin if service == ACCOUNT else {}),
                        **_drain(within),
                    },
                    port_variable=PORTS.get(service, ""),
                    stop_within=within,
                )
            )
    return plans


def door_plan(socket: int, *, shared: Mapping[str, str]) -> Plan:
    """The front door on a listening socket that is handed down."""
    within = sum(STOP_WITHIN.values()) + STOP_OTHERS_WITHIN
    return Plan(
        name=door.NAME,
        command=[sys.executable, "-m", "hubbub.local.door.service"],
        environment={**shared, **_drain(within), "HUBBUB_DOOR_SOCKET": str(socket)},
        stop_within=within,
        pass_fds=(socket,),
        pipe=True,
    )


def service_of(plan: Plan) -> str:
    """The service that a plan runs a copy of."""
    for service in PORTS:
        if plan.port_variable == PORTS[service]:
            return service
    return plan.name


def stop_stages(plans: Sequence[Plan]) -> list[list[str]]:
    """Names in the order to stop them: who faces clients first, who reads the log last."""
    stages: list[list[str]] = [[], [], [], []]
    order = {STREAMER: 0, GATEWAY: 1, HUB: 3}
    for plan in plans:
        if plan.name != door.NAME:
            stages[order.get(service_of(plan), 2)].append(plan.name)
    return [stage for stage in stages if stage]


def _drain(within: float) -> dict[str, str]:
    """A laptop does not wait a minute: everything drains in seconds."""
    limit = f"{within - _CANCEL_BEFORE_KILL:g}"
    return {"HUBBUB_DRAIN_DEADLINE": limit, "HUBBUB_BUS_DRAIN_TIMEOUT": limit}
