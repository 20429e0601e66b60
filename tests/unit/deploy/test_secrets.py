"""Secrets: each key that is read exists or was named by a person, and none is seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.unit.deploy.chart import Installation, Manifest
from tests.unit.deploy.test_pods import environment_of


def test_every_secret_that_is_read_is_made_or_named(installation: Installation) -> None:
    made = {
        one["metadata"]["name"]: set(one.get("stringData", {})) | set(one.get("data", {}))
        for one in installation.kind("Secret")
    }
    named = set(_named(installation.values))
    for _, pod in installation.pods():
        for name, key in _read(pod):
            assert key in made[name] if name in made else name in named, (name, key)


def test_secrets_are_files_and_never_variables(installation: Installation) -> None:
    """The environment leaks into crash dumps, and children inherit it."""
    for service in installation.services():
        for container in service["spec"]["template"]["spec"]["containers"]:
            assert not any("valueFrom" in one for one in container["env"])
            for one in container["env"]:
                assert "PASSWORD" not in one["name"]
                assert not re.search(r"://[^/]*@", one["value"])


def test_only_account_knows_the_administrator(installation: Installation) -> None:
    for service in installation.services():
        component = service["metadata"]["labels"]["app.kubernetes.io/component"]
        keys = {key for _, key in _read(service["spec"]["template"])}
        if component != "account":
            assert not {"admin-password", "account-token-secret"} & keys
        if component in {"streamer", "operator"}:
            assert "mongodb-uri" not in keys


def test_a_pod_has_its_own_key_for_nats_only(installation: Installation) -> None:
    for service in installation.services():
        spec = service["spec"]["template"]["spec"]
        keys = {key for _, key in _read(service["spec"]["template"]) if key.endswith(".nk")}
        environment = environment_of(spec["containers"][0])
        assert keys in (set(), {f"{spec['containers'][0]['args'][1]}.nk"})
        assert bool(keys) == ("HUBBUB_NATS_KEYS" in environment)
        signs_in = keys or "HUBBUB_NATS_USER" in environment
        assert bool(signs_in) != ("HUBBUB_NATS_UNPROTECTED" in environment)


def test_values_of_development_secrets_stand_in_the_secret_alone(
    installation: Installation,
) -> None:
    for secret in installation.kind("Secret"):
        others = yaml.safe_dump([one for one in installation.manifests if one is not secret])
        for value in secret["stringData"].values():
            assert value not in others


def _read(pod: Manifest) -> Iterator[tuple[str, str]]:
    """Name and key of every Secret that a pod mounts or takes into its environment."""
    for volume in pod["spec"]["volumes"]:
        for source in volume.get("projected", {}).get("sources", ()):
            for item in source["secret"]["items"]:
                yield source["secret"]["name"], item["key"]
        for item in volume.get("secret", {}).get("items", ()):
            yield volume["secret"]["secretName"], item["key"]
    for container in pod["spec"]["containers"]:
        for one in container.get("env", ()):
            reference = one.get("valueFrom", {}).get("secretKeyRef")
            if reference:
                yield reference["name"], reference["key"]


def _named(values: Any) -> Iterator[str]:
    """Every Secret that the values name."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _named(value)
        elif key in {"existingSecret", "keysSecret", "caSecret"} and value:
            yield value
