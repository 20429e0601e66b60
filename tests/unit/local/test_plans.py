"""Which processes there are, what they are told, and in which order they end."""

from __future__ import annotations

from importlib import metadata

from hubbub.local.plans import door_plan, installed_services, service_plans, stop_stages

COMMANDS = {name: ["run", name] for name in ("account", "ddp-streamer", "gateway", "stream-hub")}


def test_streamers_are_copied() -> None:
    """Each copy has a name of its own; the others stay single."""
    plans = service_plans(COMMANDS, streamers=2, shared={}, admin={})

    assert [plan.name for plan in plans] == [
        "account",
        "ddp-streamer-1",
        "ddp-streamer-2",
        "gateway",
        "stream-hub",
    ]


def test_only_the_account_service_learns_the_password() -> None:
    """A secret goes to who needs it."""
    plans = service_plans(
        COMMANDS, streamers=1, shared={}, admin={"HUBBUB_ADMIN_PASSWORD": "secret"}
    )

    knowing = [plan.name for plan in plans if "HUBBUB_ADMIN_PASSWORD" in plan.environment]
    assert knowing == ["account"]


def test_who_faces_clients_ends_first() -> None:
    """The hub, which tells the others' last changes, ends last."""
    plans = service_plans(COMMANDS, streamers=2, shared={}, admin={})

    assert stop_stages([*plans, door_plan(3, shared={})]) == [
        ["ddp-streamer-1", "ddp-streamer-2"],
        ["gateway"],
        ["account"],
        ["stream-hub"],
    ]


def test_stopping_takes_less_than_ten_seconds() -> None:
    """Even when every service has to be killed."""
    plans = service_plans(COMMANDS, streamers=3, shared={}, admin={})
    within = {plan.name: plan.stop_within for plan in plans}

    assert sum(max(within[name] for name in stage) for stage in stop_stages(plans)) < 9


def test_every_service_is_installed() -> None:
    """The entry points name what a whole Hubbub consists of."""
    assert set(COMMANDS) <= set(installed_services())


def test_what_needs_a_cluster_is_not_run_here() -> None:
    """It is a service like the others, but one machine has no Kubernetes to look after."""
    installed = {entry.name for entry in metadata.entry_points(group="hubbub.services")}

    assert installed - set(installed_services()) == {"operator"}
