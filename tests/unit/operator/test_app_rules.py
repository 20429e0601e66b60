"""What is done next for a declared app, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import get_args

import pytest

from hubbub.contracts.apps import (
    InvalidAppSettings,
    InvalidPackage,
    PackageTooLarge,
    PermissionsNotGranted,
)
from hubbub.contracts.provisioning import AppOfAnother, HostsNotAllowed
from hubbub.errors import HubbubError, Unavailable
from services.operator.domain.apps import (
    Engine,
    Found,
    Kind,
    Problem,
    Step,
    Wanted,
    findings,
    last_error,
    next_step,
    phase,
    refusal,
    standing,
)

WANTED = Wanted(
    owner="chat/echo",
    app_id="echo",
    version=None,
    enabled=True,
    permissions=frozenset({"command"}),
    hosts=frozenset({"api.example.org:443"}),
    digest="d1",
)
FOUND = Found(
    owner="chat/echo",
    version="1.0.0",
    digest="d1",
    engine="running",
    reason="",
    permissions=frozenset({"command"}),
    hosts=frozenset(),
)


def test_the_steps() -> None:
    """The first that is lacking."""
    off = replace(WANTED, enabled=False)
    cases: list[tuple[Wanted, Found | None, Step | None]] = [
        (WANTED, None, "install"),
        (replace(WANTED, digest=None), None, None),
        (WANTED, FOUND, None),
        (replace(WANTED, digest="d2"), FOUND, "install"),
        (replace(WANTED, digest=None), FOUND, None),
        (WANTED, replace(FOUND, engine="disabled"), "enable"),
        (WANTED, replace(FOUND, engine="starting"), None),
        (WANTED, replace(FOUND, engine="incomplete"), None),
        (WANTED, replace(FOUND, engine="broken"), None),
        (replace(WANTED, fresh=True), replace(FOUND, engine="broken"), "enable"),
        (off, FOUND, "disable"),
        (off, replace(FOUND, engine="broken"), "disable"),
        (off, replace(FOUND, engine="disabled"), None),
        (WANTED, replace(FOUND, permissions=frozenset({"network"})), "disable"),
        (WANTED, replace(FOUND, hosts=frozenset({"x:1"})), "disable"),
        (WANTED, replace(FOUND, owner="chat/other"), None),
        (replace(off, digest="d2"), replace(FOUND, owner=""), None),
    ]
    for wanted, found, step in cases:
        assert next_step(wanted, found) == step, (wanted, found)


def test_what_was_refused_is_not_installed_but_all_else_is_done() -> None:
    other = replace(WANTED, digest="d2")

    assert next_step(other, None, refused=True) is None
    assert next_step(other, FOUND, refused=True) is None
    assert next_step(replace(other, enabled=False), FOUND, refused=True) == "disable"


def test_the_steps_come_to_an_end() -> None:
    """From every state, with an engine that does as it is told, within three."""
    states = get_args(Engine)
    for enabled, digest, state, fresh in product(
        (True, False), ("d1", "d2"), states, (True, False)
    ):
        wanted = replace(WANTED, enabled=enabled, digest=digest, fresh=fresh)
        found = replace(FOUND, engine=state)
        for _ in range(3):
            step = next_step(wanted, found)
            if step == "install":
                found = replace(found, digest=digest)
            elif step == "enable":
                found, wanted = replace(found, engine="running"), replace(wanted, fresh=False)
            elif step == "disable":
                found = replace(found, engine="disabled")
        assert next_step(wanted, found) is None


@pytest.mark.parametrize(
    ("wanted", "found", "kind"),
    [
        (WANTED, None, None),
        (WANTED, FOUND, None),
        (WANTED, replace(FOUND, owner=""), "BelongsToAnother"),
        (WANTED, replace(FOUND, permissions=frozenset({"x"})), "PermissionsNotGranted"),
        (replace(WANTED, version="2.0.0"), FOUND, "VersionDiffers"),
        (replace(WANTED, version="2.0.0", digest="d2"), FOUND, None),
        (replace(WANTED, version="1.0.0"), FOUND, None),
    ],
)
def test_what_is_wrong_between_the_two(
    wanted: Wanted, found: Found | None, kind: Kind | None
) -> None:
    problem = standing(wanted, found)

    assert (problem.kind if problem is not None else None) == kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidPackage("x"), "PackageRefused"),
        (PackageTooLarge("x"), "PackageRefused"),
        (PermissionsNotGranted("x"), "PermissionsNotGranted"),
        (HostsNotAllowed("x"), "PermissionsNotGranted"),
        (InvalidAppSettings("x"), "SettingsRefused"),
        (AppOfAnother("x"), None),
        (Unavailable("x"), None),
    ],
)
def test_which_errors_would_come_again(error: HubbubError, kind: Kind | None) -> None:
    found = refusal(error.code, error.reason)

    assert (found.kind if found is not None else None) == kind


def test_the_phases() -> None:
    wrong, waits = Problem("PackageRefused", "no"), Problem("SourceNotFound", "none")

    assert phase(WANTED, FOUND, None) == "Enabled"
    assert phase(WANTED, None, waits) == "Pending"
    assert phase(WANTED, FOUND, waits) == "Enabled"
    assert phase(WANTED, FOUND, wrong) == phase(WANTED, None, wrong) == "Failed"
    assert phase(replace(WANTED, enabled=False), replace(FOUND, engine="disabled"), None) == (
        "Disabled"
    )
    assert phase(WANTED, replace(FOUND, engine="incomplete"), None) == "Failed"
    assert phase(WANTED, replace(FOUND, engine="starting"), None) == "Installing"


def test_the_last_error_is_the_most_telling_one() -> None:
    fails = replace(FOUND, reason="it crashed")

    assert last_error(WANTED, FOUND, None) is None
    assert last_error(WANTED, fails, None) == "it crashed"
    assert last_error(WANTED, fails, Problem("PackageRefused", "no")) == "no"
    assert last_error(replace(WANTED, enabled=False), fails, None) is None


def test_there_are_always_four_conditions_with_a_reason() -> None:
    """Whatever is the matter; an app of another is none of ours."""
    problems = [None, *(Problem(kind, "why") for kind in get_args(Kind))]
    apps = [None, *(replace(FOUND, engine=state) for state in get_args(Engine))]
    for found, problem in product(apps, problems):
        told = findings(WANTED, found, problem)
        assert [one.type for one in told] == [
            "Installed",
            "Enabled",
            "PermissionsGranted",
            "Healthy",
        ]
        assert all(one.reason for one in told)

    theirs = findings(WANTED, replace(FOUND, owner=""), Problem("BelongsToAnother", "why"))
    assert [one.status for one in theirs] == ["False", "False", "Unknown", "Unknown"]
