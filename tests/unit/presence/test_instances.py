"""When a streamer counts as gone."""

from __future__ import annotations

from services.presence.instances import Heard, Instances


def watched() -> Instances:
    """Observation from 0 to 20, a lease of 15."""
    return Instances(0.0, lease=15.0, observation=20.0)


def test_nobody_is_gone_while_observing() -> None:
    """Twenty seconds after the start nothing is known yet."""
    instances = watched()
    instances.noticed("a", 0.0)

    assert instances.silent(19.9) == []
    assert instances.silent(20.0) == ["a"]


def test_silence_of_a_lease_is_the_end() -> None:
    """Counted from the last sign of life."""
    instances = watched()
    instances.heard("a", "boot", 30.0)

    assert instances.silent(44.9) == []
    assert instances.silent(45.0) == ["a"]


def test_one_that_is_only_noticed_gets_a_lease_of_time() -> None:
    """Its first connection may be told before its first sign of life."""
    instances = watched()
    instances.noticed("a", 30.0)
    instances.noticed("a", 40.0)

    assert instances.silent(44.9) == []
    assert instances.silent(45.0) == ["a"]


def test_another_boot_id_is_a_reboot() -> None:
    """What the old start had is over."""
    instances = watched()

    assert instances.heard("a", "1", 1.0) is Heard.NEW
    assert instances.heard("a", "1", 2.0) is Heard.AS_BEFORE
    assert instances.heard("a", "2", 3.0) is Heard.REBOOTED
    assert instances.heard("a", "2", 4.0) is Heard.AS_BEFORE


def test_one_that_returns_must_tell_anew() -> None:
    """Even if a connection of it was noticed first."""
    instances = watched()
    instances.heard("a", "1", 21.0)
    instances.declare_gone("a")
    instances.noticed("a", 50.0)

    assert instances.heard("a", "1", 51.0) is Heard.RETURNED
    assert instances.heard("a", "1", 52.0) is Heard.AS_BEFORE


def test_deafness_ends_nobody() -> None:
    """After signs may have been missed, everybody gets a new observation."""
    instances = watched()
    instances.heard("a", "1", 30.0)
    instances.observe_anew(100.0)

    assert instances.is_observing(119.9)
    assert instances.silent(119.9) == []
    assert instances.silent(120.0) == ["a"]


def test_the_gone_are_not_remembered_without_end() -> None:
    """Names of streamers are random per start: only the last thousand are kept."""
    instances = watched()
    for number in range(1500):
        instances.declare_gone(f"s{number}")

    assert instances.heard("s0", "1", 1.0) is Heard.NEW
    assert instances.heard("s1499", "1", 1.0) is Heard.RETURNED
