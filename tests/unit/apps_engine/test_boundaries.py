"""What holds around an app is said of what is active, and of nothing else."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest

from hubbub.settings import WrongSettings, load
from services.apps_engine.confinement.report import Confinement, Means, State
from services.apps_engine.domain.boundaries import Boundary, active, missing
from services.apps_engine.settings import AppsSettings, BoundaryName


def _with(*means: Means) -> Confinement:
    confinement = Confinement()
    for one in Means:
        confinement.note(one, State.ACTIVE if one in means else State.REFUSED)
    return confinement


def test_without_anything_nothing_holds() -> None:
    assert active(Confinement()) == frozenset()
    assert active(_with()) == frozenset()


def test_with_everything_everything_holds() -> None:
    assert active(_with(*Means)) == frozenset(Boundary)


def test_a_container_without_namespaces_still_keeps_apps_from_the_network() -> None:
    confinement = _with(
        Means.SESSION,
        Means.LIMITS,
        Means.CAPABILITIES,
        Means.NO_NEW_PRIVILEGES,
        Means.LANDLOCK,
        Means.SECCOMP,
        Means.DIES_WITH_ENGINE,
    )

    assert active(confinement) == frozenset(Boundary) - {Boundary.DISK}
    assert missing(confinement, [Boundary.NETWORK, Boundary.DISK]) == [Boundary.DISK]


@pytest.mark.parametrize("means", [Means.USERS, Means.IPC, Means.SESSION, Means.USER_ID])
def test_some_means_are_no_boundary_by_themselves(means: Means) -> None:
    assert active(_with(means)) == frozenset()


def test_a_network_namespace_alone_leaves_the_sockets_that_are_files() -> None:
    assert Boundary.NETWORK not in active(_with(Means.NETWORK))
    assert Boundary.NETWORK not in active(_with(Means.NETWORK, Means.LANDLOCK))
    assert Boundary.NETWORK in active(_with(Means.NETWORK, Means.VIEW))


def test_landlock_alone_leaves_the_modes_of_files() -> None:
    assert Boundary.FILES not in active(_with(Means.LANDLOCK))
    assert Boundary.FILES in active(_with(Means.LANDLOCK, Means.SECCOMP))
    assert Boundary.FILES in active(_with(Means.VIEW))


def test_more_means_never_take_a_boundary_away() -> None:
    for means in itertools.combinations(Means, 2):
        assert active(_with(means[0])) <= active(_with(*means))


def test_a_report_travels() -> None:
    confinement = Confinement()
    confinement.note(Means.LANDLOCK, State.ACTIVE, "version 7")
    confinement.note(Means.USERS, State.REFUSED, "Operation not permitted")

    assert Confinement.from_json(confinement.to_json()) == confinement


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "x",
        {"magic": {"state": "active", "detail": ""}},
        {"landlock": {"state": "perhaps", "detail": ""}},
        {"landlock": "active"},
        {"landlock": {}},
    ],
)
def test_what_is_no_report_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="no report"):
        Confinement.from_json(value)


def test_boundaries_are_required_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(AppsSettings).require == ()
    monkeypatch.setenv("HUBBUB_APPS_REQUIRE", "network, FILES")
    assert load(AppsSettings).require == ("network", "files")
    assert set(get_args(BoundaryName)) == {boundary.value for boundary in Boundary}


def test_a_boundary_that_nobody_knows_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBBUB_APPS_REQUIRE", "network,magic")

    with pytest.raises(WrongSettings, match="HUBBUB_APPS_REQUIRE"):
        load(AppsSettings)
