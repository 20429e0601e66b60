"""Whatever an installation sets exists, and is allowed."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from hubbub.cli.settings import describe
from hubbub.settings import SECRETS_DIR_VARIABLE, Settings, load
from tests.unit.deploy.chart import Installation
from tests.unit.deploy.test_pods import environment_of

_OTHERS = {SECRETS_DIR_VARIABLE, "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_RESOURCE_ATTRIBUTES"}
"""Variables that are no setting of ours, or say where settings are."""


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Nobody else's settings."""
    for name in [name for name in os.environ if name.startswith(("HUBBUB_", "OTEL_"))]:
        monkeypatch.delenv(name)
    return monkeypatch


def test_variables_are_settings(installation: Installation) -> None:
    known = {one.variable for one in describe()} | _OTHERS
    for service in installation.services():
        for container in service["spec"]["template"]["spec"]["containers"]:
            unknown = set(environment_of(container)) - known
            assert not unknown, service["metadata"]["name"]


def test_values_are_allowed(installation: Installation, clean: pytest.MonkeyPatch) -> None:
    """A wrong one would stop the process at its start."""
    groups = list(_groups(Settings))
    variables = {one.variable: one.group for one in describe()}
    for service in installation.services():
        environment = environment_of(service["spec"]["template"]["spec"]["containers"][0])
        environment.pop(SECRETS_DIR_VARIABLE, None)
        # Mounted, so it is not here.
        environment.pop("HUBBUB_NATS_TLS_CA", None)
        if "HUBBUB_ADMIN_USERNAME" in environment:
            environment["HUBBUB_ADMIN_PASSWORD"] = "mounted beside it"
        with clean.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            wanted = {variables[name] for name in environment if name in variables}
            chosen = [group for group in groups if group.__name__ in wanted]
            assert len(chosen) == len(wanted)
            for group in chosen:
                load(group)


def test_secret_files_are_named_like_the_settings_they_stand_for(
    installation: Installation,
) -> None:
    secrets = {one.variable.lower() for one in describe() if one.secret}
    for service in installation.services():
        spec = service["spec"]["template"]["spec"]
        files = {
            item["path"]
            for volume in spec["volumes"]
            if volume["name"] == "secrets"
            for source in volume["projected"]["sources"]
            for item in source["secret"]["items"]
        }
        assert files <= secrets
        environment = environment_of(spec["containers"][0])
        assert bool(files) == (SECRETS_DIR_VARIABLE in environment)
        # What is mounted must not be overruled by a variable.
        assert not {name.lower() for name in environment} & files


def _groups(base: type[Settings]) -> Iterator[type[Settings]]:
    for group in base.__subclasses__():
        if group.__module__.split(".")[0] in {"hubbub", "services"}:
            yield group
        yield from _groups(group)
