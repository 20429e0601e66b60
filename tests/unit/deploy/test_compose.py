"""compose.yaml: as its specification wants it, with everything that belongs to a Hubbub."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

from hubbub.bus.broker import make_keys
from hubbub.bus.permissions import CLI, all_rights
from hubbub.cli.main import COMMANDS
from hubbub.cli.settings import describe
from tests.unit.deploy.chart import ROOT

TEXT = (ROOT / "compose.yaml").read_text()
ELSEWHERE = {"ddp-streamer": "streamer"}
"""Services that have another name in it; the rest have their own."""


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """With the defaults of its variables."""
    return dict(yaml.safe_load(re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", TEXT)))


@pytest.fixture(scope="module")
def ours(compose: dict[str, Any]) -> dict[str, Any]:
    """Hubbub's own services in it."""
    return {
        name: service
        for name, service in compose["services"].items()
        if service.get("command", [""])[0] == "run" and service["image"].startswith("hubbub")
    }


def test_it_is_as_the_specification_wants_it(compose: dict[str, Any]) -> None:
    PyCompose.from_json(json.dumps(compose))


def test_a_typo_would_be_found(compose: dict[str, Any]) -> None:
    changed = json.loads(json.dumps(compose))
    changed["services"]["streamer"]["readonly"] = True

    with pytest.raises(ValueError, match="readonly"):
        PyCompose.from_json(json.dumps(changed))


def test_every_service_is_there_and_runs_what_exists(
    compose: dict[str, Any], ours: dict[str, Any]
) -> None:
    entries = {entry.name for entry in metadata.entry_points(group="hubbub.services")}
    # The operator looks after a cluster; here is none.
    entries -= {"operator"}

    assert {service["command"][1] for service in ours.values()} == entries
    assert set(ours) == {ELSEWHERE.get(name, name) for name in entries}
    assert compose["services"]["mongo-init"]["command"][0] in COMMANDS


def test_what_is_set_is_a_setting(ours: dict[str, Any]) -> None:
    known = {one.variable for one in describe()} | {"OTEL_EXPORTER_OTLP_ENDPOINT"}
    for name, service in ours.items():
        assert set(service["environment"]) <= known, name


def test_services_are_confined_and_get_time_to_end(ours: dict[str, Any]) -> None:
    for name, service in ours.items():
        assert service["read_only"] is True
        assert service["tmpfs"] == ["/tmp"]
        assert service["init"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["ulimits"]["nofile"] == 1048576
        assert "/readyz" in service["healthcheck"]["test"][-1]
        grace = int(service["stop_grace_period"].removesuffix("s"))
        assert service["environment"]["HUBBUB_DRAIN_DEADLINE"] == grace - 5, name


def test_who_signs_in_to_nats_sees_one_key(
    compose: dict[str, Any], ours: dict[str, Any], tmp_path: Path
) -> None:
    """The server none: it reads public keys. All of them pass through what makes them, alone."""
    make_keys(tmp_path, apart=True)
    made = {folder.name: f"/etc/hubbub/keys/{folder.name}" for folder in tmp_path.iterdir()}
    services = compose["services"]
    everything, *each = services["nats-keys"]["volumes"]
    assert everything == "nats-keys:/etc/hubbub/keys"
    places = {place: volume for volume, _, place in (one.partition(":") for one in each)}
    assert set(places.values()) <= set(compose["volumes"])

    handed = {name: service["command"][1] for name, service in ours.items()}
    handed |= {"cli": CLI, "nats": "nats"}
    # The operator looks after a cluster: its key stays where it was made.
    assert set(places) == {made[user] for user in handed.values()}
    assert set(handed.values()) == {*all_rights(), "nats"} - {"operator"}
    for name, user in handed.items():
        assert [
            mount
            for mount in services[name]["volumes"]
            if isinstance(mount, dict) or "key" in mount
        ] == [
            {
                "type": "volume",
                "source": places[made[user]],
                "target": "/etc/hubbub/keys",
                "read_only": True,
                # Else the image's empty folders would be in it.
                "volume": {"nocopy": True},
            }
        ], name
    for name in set(services) - set(handed) - {"nats-keys"}:
        assert "keys" not in json.dumps(services[name].get("volumes", ())), name


def test_a_volume_for_a_key_begins_as_that_of_who_writes_it() -> None:
    """A folder that the image lacks would be root's, and the keys could not be made."""
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert "hubbub nats-keys /keys --apart \\\n    && find /keys -type f -delete\n" in dockerfile
    [user] = re.findall(r"^USER (\S+)$", dockerfile, re.MULTILINE)
    assert f"COPY --from=build --chown={user} /keys /etc/hubbub/keys\n" in dockerfile


def test_an_image_that_is_built_here_is_not_asked_of_a_registry(compose: dict[str, Any]) -> None:
    """Compose would ask for it before it builds it, once for every service."""
    services = compose["services"].values()
    built = {service["image"] for service in services if "build" in service}

    assert len(built) == 1
    for service in services:
        if service["image"] in built and "build" not in service:
            assert service["pull_policy"] == "never"


def test_an_engine_may_give_fewer_open_files(compose: dict[str, Any]) -> None:
    """As one that does not run as root does: what asks for more does not start."""
    asked = re.findall(r"nofile: (.*)", TEXT)
    assert sorted(set(asked)) == [
        "${HUBBUB_MONGO_OPEN_FILES:-64000}",
        "${HUBBUB_OPEN_FILES:-1048576}",
    ]
    assert compose["services"]["proxy"]["ulimits"]["nofile"] == 1048576
    door = (ROOT / "deploy" / "compose" / "haproxy.cfg").read_text()
    settings = {line.split()[0] for line in door.splitlines() if line.strip()}
    assert "fd-hard-limit" in settings
    assert "maxconn" not in settings


def test_commands_have_a_container_of_their_own(compose: dict[str, Any]) -> None:
    """Which ends with them, and is not there otherwise."""
    cli = compose["services"]["cli"]

    assert cli["profiles"] == ["cli"]
    assert cli["restart"] == "no"
    assert cli["healthcheck"] == {"disable": True}
    assert cli["environment"]["HUBBUB_NATS_KEYS"] == "/etc/hubbub/keys"


def test_two_streamers_stand_behind_the_front_door(ours: dict[str, Any]) -> None:
    """And nothing else has a port that others can reach."""
    assert ours["streamer"]["scale"] == 2
    assert not any("ports" in service for service in ours.values())
    door = (ROOT / "deploy" / "compose" / "haproxy.cfg").read_text()
    assert re.search(r"server-template streamer 1-\d+ streamer:3000", door)
    assert re.search(r"server-template gateway 1-\d+ gateway:3000", door)


def test_files_that_are_mounted_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume["source"] if isinstance(volume, dict) else volume.partition(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source


def test_what_is_watched_is_every_service(compose: dict[str, Any], ours: dict[str, Any]) -> None:
    watched = yaml.safe_load((ROOT / "deploy" / "compose" / "prometheus.yaml").read_text())
    [job] = watched["scrape_configs"]
    [found] = job["dns_sd_configs"]

    assert set(found["names"]) == set(ours)
    assert found["port"] == 8081


@pytest.mark.parametrize(
    "file", sorted((ROOT / "deploy" / "compose").rglob("*.yaml")), ids=lambda file: file.stem
)
def test_configurations_are_yaml(file: Any) -> None:
    assert yaml.safe_load(file.read_text())


def test_sources_of_data_that_grafana_gets_are_services(compose: dict[str, Any]) -> None:
    file = ROOT / "deploy" / "compose" / "grafana" / "datasources.yaml"
    for source in yaml.safe_load(file.read_text())["datasources"]:
        host = re.fullmatch(r"http://([a-z]+):\d+", source["url"])
        assert host is not None
        assert host[1] in compose["services"]
