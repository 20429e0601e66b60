"""Autoscalers, the operator's pool, and the operator's rights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from prometheus_client import CollectorRegistry

from services.ddp_streamer.metrics import StreamerMetrics
from services.operator.rights import RELEASE_RIGHTS, RIGHTS, Right
from tests.unit.deploy.chart import CHART, ROOT, Installation, from_values, needs_helm, rendered

HA = CHART / "ci" / "ha-values.yaml"
KEDA = CHART / "ci" / "keda-values.yaml"
DEVELOPMENT = CHART / "ci" / "development-values.yaml"
CRDS = sorted((ROOT / "deploy" / "crds").glob("*.yaml"))


@pytest.fixture(scope="module")
def metrics() -> set[str]:
    """What a streamer offers; a counter with its `_total`."""
    registry = CollectorRegistry()
    StreamerMetrics(registry)
    return {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in registry.collect()
    }


@needs_helm
def test_the_autoscaler_asks_for_metrics_that_exist(metrics: set[str]) -> None:
    scaler = from_values(HA).named("HorizontalPodAutoscaler", "hubbub-streamer")["spec"]
    asked = [one["pods"]["metric"]["name"] for one in scaler["metrics"] if one["type"] == "Pods"]

    assert asked == ["hubbub_streamer_connections", "hubbub_streamer_deliveries_per_second"]
    # The adapter makes the rate of NAME_total and calls it NAME_per_second.
    assert {name.replace("_per_second", "_total") for name in asked} <= metrics


@needs_helm
def test_it_scales_out_at_once_and_in_slowly() -> None:
    behavior = from_values(HA).named("HorizontalPodAutoscaler", "hubbub-streamer")["spec"][
        "behavior"
    ]

    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    down = behavior["scaleDown"]
    assert down["stabilizationWindowSeconds"] == 900
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 300}]


@needs_helm
def test_keda_comes_instead_of_the_autoscaler(metrics: set[str]) -> None:
    installation = from_values(KEDA)
    [scaled] = installation.kind("ScaledObject")

    assert not installation.kind("HorizontalPodAutoscaler")
    assert scaled["spec"]["fallback"]["behavior"] == "currentReplicasIfHigher"
    assert scaled["spec"]["minReplicaCount"] >= 2
    queries = [
        trigger["metadata"]["query"]
        for trigger in scaled["spec"]["triggers"]
        if trigger["type"] == "prometheus"
    ]
    assert len(queries) == 2
    assert all(any(name in query for name in metrics) for query in queries)
    assert all('namespace="chat"' in query for query in queries)


@needs_helm
def test_keda_needs_its_kind_in_the_cluster() -> None:
    without = rendered("--set", "streamer.keda.enabled=true")
    known = rendered("--set", "streamer.keda.enabled=true", "--api-versions", "keda.sh/v1alpha1")

    assert [one["kind"] for one in without].count("ScaledObject") == 0
    assert [one["kind"] for one in known].count("ScaledObject") == 1


@needs_helm
def test_with_a_managed_pool_the_autoscaler_scales_the_pool() -> None:
    installation = from_values(HA)
    target = installation.named("HorizontalPodAutoscaler", "hubbub-streamer")["spec"][
        "scaleTargetRef"
    ]
    [pool] = installation.kind("StreamerPool")

    assert target == {
        "apiVersion": pool["apiVersion"],
        "kind": "StreamerPool",
        "name": pool["metadata"]["name"],
    }
    assert pool["spec"]["mode"] == "Manage"
    assert installation.named("Deployment", pool["spec"]["deploymentRef"]["name"])


@needs_helm
@pytest.mark.parametrize("file", [HA, DEVELOPMENT], ids=lambda file: file.stem)
def test_the_pool_is_as_its_definition_wants_it(file: Path) -> None:
    installation = from_values(file)
    [pool] = installation.kind("StreamerPool")
    [definition] = [
        one for one in map(_definition, CRDS) if one["spec"]["names"]["kind"] == "StreamerPool"
    ]
    [version] = definition["spec"]["versions"]
    assert pool["apiVersion"] == f"{definition['spec']['group']}/{version['name']}"
    schema = _closed(version["schema"]["openAPIV3Schema"])

    Draft202012Validator(schema).validate(pool)


@needs_helm
def test_definitions_stay_when_the_release_goes() -> None:
    definitions = from_values(HA).kind("CustomResourceDefinition")

    assert [one["metadata"]["name"] for one in definitions] == [
        _definition(file)["metadata"]["name"] for file in CRDS
    ]
    for one in definitions:
        assert one["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@needs_helm
@pytest.mark.parametrize("managed", [False, True])
@pytest.mark.parametrize("apps", [False, True])
def test_the_role_has_the_rights_that_the_operator_uses(managed: bool, apps: bool) -> None:
    manifests = rendered(
        "--set",
        f"operator.enabled=true,operator.managedScaling={str(managed).lower()},"
        f"operator.apps.enabled={str(apps).lower()},operator.apps.secrets={{keys}}",
    )
    installation = Installation("operator", tuple(manifests), {})
    given = {
        (group, resource, verb)
        for rule in installation.named("Role", "hubbub-operator")["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    used = {
        (right.group, right.resource, verb)
        for right in RIGHTS
        if {"always": True, "managed": managed, "apps": apps}[right.needed]
        for verb in right.verbs
    }

    assert given == used
    assert not installation.kind("ClusterRole", "ClusterRoleBinding")
    [subject] = installation.named("RoleBinding", "hubbub-operator")["subjects"]
    account = installation.named("Deployment", "hubbub-operator")["spec"]["template"]["spec"]
    assert (subject["name"], subject["namespace"]) == (account["serviceAccountName"], "chat")


@needs_helm
def test_the_operator_reads_what_it_was_told_that_it_may() -> None:
    """Every ConfigMap, no Secret; or those that are named."""

    def readable(*arguments: str) -> dict[str, Any]:
        manifests = rendered("--set", "operator.enabled=true", *arguments)
        role = Installation("apps", tuple(manifests), {}).named("Role", "hubbub-operator")
        return {
            resource: rule.get("resourceNames")
            for rule in role["rules"]
            for resource in rule["resources"]
            if resource in ("configmaps", "secrets")
        }

    assert readable() == {"configmaps": None}
    chosen = "operator.apps.configMaps={packages},operator.apps.secrets={keys,more}"
    assert readable("--set", chosen) == {"configmaps": ["packages"], "secrets": ["keys", "more"]}


@needs_helm
def test_apps_go_before_the_release_does() -> None:
    """By a Job that runs first, with rights of its own, which are there until it has run."""
    installation = from_values(HA)
    job = installation.named("Job", "hubbub-operator-release")
    [container] = job["spec"]["template"]["spec"]["containers"]
    role = installation.named("Role", "hubbub-operator-release")
    given = {
        Right(rule["apiGroups"][0], rule["resources"][0], tuple(rule["verbs"]))
        for rule in role["rules"]
    }

    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-delete"
    assert container["args"] == ["operator", "release", "--within", "90"]
    assert job["spec"]["activeDeadlineSeconds"] > 90
    assert given == set(RELEASE_RIGHTS)
    assert "annotations" not in role["metadata"]
    off = rendered("--set", "operator.enabled=true,operator.apps.enabled=false")
    assert not [one for one in off if one["metadata"]["name"] == "hubbub-operator-release"]


@needs_helm
def test_what_the_apps_engine_is_told() -> None:
    manifests = rendered(
        "--set", "apps-engine.require={network,files},apps-engine.allowedNetworks={10.1.0.0/16}"
    )
    engine = Installation("engine", tuple(manifests), {}).named("Deployment", "hubbub-apps-engine")
    [container] = engine["spec"]["template"]["spec"]["containers"]
    told = {one["name"]: one["value"] for one in container["env"]}

    assert told["HUBBUB_APPS_REQUIRE"] == "network,files"
    assert told["HUBBUB_APPS_ALLOWED_NETWORKS"] == '["10.1.0.0/16"]'


def _definition(file: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(file.read_text()))


def _closed(schema: Any) -> Any:
    """The same schema, refusing what it does not name, as a strict API server does."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {
        key: {name: _closed(inner) for name, inner in value.items()}
        if key == "properties"
        else _closed(value)
        for key, value in schema.items()
        if not key.startswith("x-kubernetes")
    }
    if "properties" in closed and closed.get("type") == "object":
        closed["additionalProperties"] = False
    return closed
