"""The table of what each user of NATS may do, compared with what the services do."""

from __future__ import annotations

import ast
import stat
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from hubbub.bus.broker import authorization, make_keys
from hubbub.bus.keys import key_file, new_seed, public_key, read_seed
from hubbub.bus.permissions import CLI, COMPONENTS, all_rights, app_rights
from hubbub.local.plans import SERVICES_GROUP
from tests.unit.bus.subjects import covers

SERVICES = Path(__file__).parents[3] / "services"


def test_every_service_is_a_user() -> None:
    """And nobody else but the command line."""
    services = {entry.name for entry in metadata.entry_points(group=SERVICES_GROUP)}

    assert set(COMPONENTS) == services
    assert set(all_rights()) == services | {CLI}


@pytest.mark.parametrize("service", COMPONENTS)
def test_the_table_names_what_the_code_calls_and_hears(service: str) -> None:
    """No contract or event is missing, and none is there for nothing."""
    component = COMPONENTS[service]
    calls, calls_one, hears, keeps = _used(service)
    if service == "gateway":  # `hubbub.doors.explaining` asks on its behalf
        calls_one |= {"HubRecall", "StreamerRecall"}

    assert {one.__name__ for one in component.calls} == calls
    assert {one.__name__ for one in component.calls_one} == calls_one
    assert {one.__name__ for one in component.hears} == hears
    assert {one.__name__ for one in component.keeps} == keeps


def _used(service: str) -> tuple[set[str], set[str], set[str], set[str]]:
    """Names of contracts and events in a service's code."""
    calls: set[str] = set()
    calls_one: set[str] = set()
    hears: set[str] = set()
    keeps: set[str] = set()
    for call in _calls(SERVICES / service.replace("-", "_")):
        words = {word.arg for word in call.keywords}
        match call:
            case ast.Call(func=ast.Attribute(attr="proxy"), args=[ast.Name(id=name), *_]):
                (calls_one if "to" in words else calls).add(name)
            case ast.Call(func=ast.Name(id="listen"), args=[ast.Name(id=name), *_]):
                (keeps if "durable" in words else hears).add(name)
            case _:
                continue
    return calls, calls_one, hears, keeps


def _calls(folder: Path) -> Iterator[ast.Call]:
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call):
                yield node


@pytest.mark.parametrize(
    ("subject", "allowed"),
    [
        ("hubbub.v1.live.room.GENERAL", set()),
        ("hubbub.v1.live.user.x", set()),
        ("hubbub.v1.live.control", {"stream-hub"}),
        ("hubbub.v1.event-log.room.GENERAL", set()),
        ("hubbub.v1.append.7.room.GENERAL", {"stream-hub"}),
        # Whoever holds the key of the command line runs the installation.
        ("$JS.API.STREAM.UPDATE.HUBBUB_EVENTS", {"stream-hub", CLI}),
        ("$JS.API.STREAM.DELETE.HUBBUB_EVENTS", {"stream-hub", CLI}),
        ("$JS.API.STREAM.PURGE.HUBBUB_EVENTS", {CLI}),
        ("hubbub.v1.ephemeral.room.GENERAL", {"ddp-streamer"}),
    ],
)
def test_who_speaks_to_clients(subject: str, allowed: set[str]) -> None:
    """Into the log, past it, or about it."""
    speaking = {
        user
        for user, rights in all_rights().items()
        if any(covers(one, subject) for one in rights.publish)
    }

    assert speaking == allowed


def test_nobody_hears_the_answers_to_another_service() -> None:
    """The inbox of each is its own."""
    for user, rights in all_rights().items():
        if user == CLI:
            continue
        for other in COMPONENTS:
            heard = any(covers(one.split()[0], f"_INBOX.{other}.x") for one in rights.subscribe)
            assert heard == (user == other), (user, other)
            assert not any(covers(one, f"_INBOX.{other}.x") for one in rights.publish)


def test_an_app_has_its_bridge_only() -> None:
    """Whatever its id contains."""
    rights = app_rights("poll.*")

    assert len(rights.publish) == 1
    assert not covers(rights.publish[0], "hubbub.v1.rpc.appbridge.other.read")
    assert not any(covers(one, "hubbub.v1.apps.other.event") for one in rights.subscribe)


def test_keys_are_made_once_and_kept_to_their_owner(tmp_path: Path) -> None:
    """Another run changes no key; the configuration has public keys only."""
    configuration = make_keys(tmp_path / "keys")
    text = configuration.read_text()
    seeds = {user: read_seed(key_file(tmp_path / "keys", user)) for user in all_rights()}
    assert make_keys(tmp_path / "keys").read_text() == text

    assert len(set(seeds.values())) == len(seeds)
    for user, seed in seeds.items():
        assert stat.S_IMODE(key_file(tmp_path / "keys", user).stat().st_mode) == 0o600
        assert public_key(seed) in text
        assert seed.decode() not in text


def test_a_file_without_a_key_is_named(tmp_path: Path) -> None:
    """And left as it is."""
    file = key_file(tmp_path, "push")
    file.write_text("not a key")

    with pytest.raises(ValueError, match=r"push\.nk: no seed"):
        make_keys(tmp_path)
    assert file.read_text() == "not a key"


def test_who_may_publish_nothing_is_denied_everything() -> None:
    """The server takes an empty list of what is allowed for everything."""
    rights = all_rights()["push"]
    assert rights.publish == ()

    text = authorization({"push": public_key(new_seed())}, {"push": rights})

    assert 'publish: {deny: [">"]}' in text
