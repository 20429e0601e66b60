"""Policies from the environment."""

from __future__ import annotations

import pytest

from hubbub.bus import BusSettings
from hubbub.contracts.base import Policy
from hubbub.settings import WrongSettings, load

DECLARED = Policy(idempotent=True, timeout=5.0, attempts=5, running=256, waiting=1024)


def test_the_contract_decides_if_nobody_else_does() -> None:
    """Without variables, policies are the declared ones."""
    assert BusSettings(overrides={}).policy("account", "login", DECLARED) is DECLARED


def test_variables_override_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """For one action, or for a whole service; the nearer one wins."""
    monkeypatch.setenv("HUBBUB_BUS_STREAM_HUB_TIMEOUT", "2.5")
    monkeypatch.setenv("HUBBUB_BUS_STREAM_HUB_RUNNING", "8")
    monkeypatch.setenv("HUBBUB_BUS_STREAM_HUB_ASK_NOW_RUNNING", "4")
    monkeypatch.setenv("HUBBUB_BUS_STREAM_HUB_ASK_NOW_WAITING", "0")
    monkeypatch.setenv("HUBBUB_BUS_STREAM_HUB_ASK_NOW_ATTEMPTS", "1")
    settings = load(BusSettings)

    assert settings.policy("stream-hub", "ask_now", DECLARED) == Policy(
        idempotent=True, timeout=2.5, attempts=1, running=4, waiting=0
    )
    assert settings.policy("stream-hub", "other", DECLARED).running == 8
    assert settings.policy("account", "login", DECLARED) == DECLARED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUBBUB_BUS_A_B_TIMEOUT", "soon"),
        ("HUBBUB_BUS_A_B_TIMEOUT", "0"),
        ("HUBBUB_BUS_A_B_RUNNING", "0"),
        ("HUBBUB_BUS_A_B_RUNNING", "1.5"),
        ("HUBBUB_BUS_A_B_WAITING", "-1"),
        ("HUBBUB_BUS_A_B_ATTEMPTS", "nan"),
    ],
)
def test_wrong_values_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """With the variable's name."""
    monkeypatch.setenv(name, value)

    with pytest.raises(WrongSettings, match=name):
        load(BusSettings)


def test_servers_are_a_list(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses come from HUBBUB_NATS_URL; own settings are no overrides."""
    monkeypatch.setenv("HUBBUB_NATS_URL", "nats://a:1, nats://b:2")
    monkeypatch.setenv("HUBBUB_NATS_USER", "me")
    monkeypatch.setenv("HUBBUB_BUS_DRAIN_TIMEOUT", "7")
    monkeypatch.setenv("HUBBUB_BUS_LISTENER_TIMEOUT", "8")
    settings = load(BusSettings)

    assert settings.servers == ["nats://a:1", "nats://b:2"]
    assert (settings.drain_timeout, settings.listener_timeout) == (7.0, 8.0)
    assert settings.overrides == {}


@pytest.mark.parametrize(
    "url",
    [
        "nats://nats:4222",
        "nats.example.com",
        "nats://127.0.0.1:4222,nats://10.0.0.7:4222",
        "nats://127.0.0.1.example.com:4222",
    ],
)
def test_nobody_uses_a_server_elsewhere_without_signing_in(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """One clear line says what to do; development may say otherwise."""
    monkeypatch.setenv("HUBBUB_NATS_URL", url)

    with pytest.raises(WrongSettings, match=r"another machine.*HUBBUB_NATS_KEYS") as refused:
        load(BusSettings)
    assert len(str(refused.value).splitlines()) == 1
    monkeypatch.setenv("HUBBUB_NATS_UNPROTECTED", "true")
    assert load(BusSettings).nats_unprotected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HUBBUB_NATS_URL", "nats://127.0.0.1:4222"),
        ("HUBBUB_NATS_URL", "nats://localhost:4222"),
        ("HUBBUB_NATS_URL", "nats://[::1]:4222"),
        ("HUBBUB_NATS_URL", "tls://me:secret@nats.example.com:4222"),
        ("HUBBUB_NATS_KEYS", "/etc/hubbub/nats"),
        ("HUBBUB_NATS_USER", "me"),
    ],
)
def test_who_signs_in_or_stays_here_may(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """With a key, with a password, or on this machine."""
    monkeypatch.setenv("HUBBUB_NATS_URL", "nats://nats:4222")
    monkeypatch.setenv(name, value)

    assert load(BusSettings).servers
