"""The schema of the values: it knows every value, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from tests.unit.deploy.chart import CHART, CI, Refused, needs_helm, rendered, values

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALIDATOR = Draft7Validator(SCHEMA)

FREE = {"env", "labels", "annotations", "podLabels", "podAnnotations", "nodeSelector", "affinity"}
"""Maps whose keys are the user's own, wherever they are."""
FREE_BELOW = {"global", "behavior", "requests", "limits", "alerts", "matchLabels"}
"""The same, with everything below them: not ours to know."""


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("file", [None, *CI], ids=lambda file: file.stem if file else "none")
def test_values_are_accepted(file: Path | None) -> None:
    VALIDATOR.validate(values(file))


def _maps(value: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    for key, inner in value.items():
        if isinstance(inner, dict) and key not in FREE | FREE_BELOW:
            yield from _maps(inner, (*path, key))


@pytest.mark.parametrize("path", list(_maps(values())), ids=lambda path: ".".join(path) or "top")
def test_a_typo_is_refused_wherever_it_is(path: tuple[str, ...]) -> None:
    changed = copy.deepcopy(values())
    inner = changed
    for key in path:
        inner = inner[key]
    inner["replicaz"] = 1

    assert not VALIDATOR.is_valid(changed)


EXCLUSIVE: dict[str, dict[str, Any]] = {
    "HPA and KEDA": {"streamer": {"autoscaling": {"enabled": True}, "keda": {"enabled": True}}},
    "own and external NATS": {
        "nats": {"enabled": True},
        "externalNats": {"urls": ["nats://elsewhere:4222"]},
    },
    "no NATS": {"nats": {"enabled": False}},
    "Secret and string of MongoDB": {
        "mongodb": {"existingSecret": "mongodb", "uri": "mongodb://elsewhere/hubbub"}
    },
    "Secret and password of the administrator": {
        "admin": {"existingSecret": "admin", "password": "password"}
    },
    "annotations and a PodMonitor": {
        "metrics": {"annotations": {"enabled": True}, "podMonitor": {"enabled": True}}
    },
    "two kinds of routes": {
        "ingress": {"enabled": True},
        "httpRoute": {"enabled": True, "parentRefs": [{"name": "edge"}]},
    },
    "a route without a gateway": {"httpRoute": {"enabled": True}},
    "two operators": {"operator": {"replicas": 2}},
    "two NATS servers, which have no majority": {"nats": {"replicas": 2}},
}


@pytest.mark.parametrize("changes", EXCLUSIVE.values(), ids=EXCLUSIVE.keys())
def test_what_excludes_each_other_is_refused(changes: dict[str, Any]) -> None:
    changed = values()
    for part, inner in changes.items():
        for key, value in inner.items():
            if isinstance(value, dict):
                changed[part][key].update(value)
            else:
                changed[part][key] = value

    assert not VALIDATOR.is_valid(changed)


@needs_helm
def test_helm_refuses_a_typo() -> None:
    with pytest.raises(Refused, match="replica"):
        rendered("--set", "streamer.replica=3")


INCOMPLETE = {
    "mongodb.dev.enabled=false": "mongodb",
    "streamer.terminationGracePeriodSeconds=60": "the drain needs 80 seconds",
    "tests.asAdmin=true": "tests.asAdmin",
    "operator.enabled=true,operator.managedScaling=true,operator.pool.enabled=false": "pool",
    "metrics.rules.enabled=true,metrics.rules.force=true,metrics.rules.alerts.Nobody.for=1m": (
        "there is no alert Nobody"
    ),
}


@needs_helm
@pytest.mark.parametrize(("changes", "reason"), INCOMPLETE.items(), ids=INCOMPLETE.keys())
def test_what_would_not_work_is_refused(changes: str, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        rendered("--set", changes)
