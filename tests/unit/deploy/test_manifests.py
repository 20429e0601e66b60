"""The manifests as Kubernetes reads them, and the committed ones as the chart makes them."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from functools import cache
from pathlib import Path
from types import ModuleType

import kubernetes_validate
import pytest
import yaml

from tests.unit.deploy.chart import (
    CHART,
    CI,
    HELM,
    K8S,
    NEWEST,
    OLDEST,
    Installation,
    from_values,
    needs_helm,
    rendered,
)

VERSIONS = ["1.30", "1.31", "1.32", "1.33", "1.34", "1.35"]
BUILT_IN = {
    "ConfigMap",
    "CustomResourceDefinition",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Ingress",
    "Job",
    "NetworkPolicy",
    "Pod",
    "PodDisruptionBudget",
    "Role",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
    "StatefulSet",
}
OPTIONAL = {"HTTPRoute", "PodMonitor", "PrometheusRule", "ScaledObject", "StreamerPool"}
"""Kinds that a cluster may not know. Their schemas are not carried by kubernetes-validate."""
UNCHECKED = OPTIONAL | {"CustomResourceDefinition"}


@pytest.fixture(scope="module")
def render() -> ModuleType:
    """The program behind `make manifests`."""
    spec = importlib.util.spec_from_file_location("render", K8S / "render.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_accepts_every_manifest(installation: Installation, version: str) -> None:
    for manifest in installation.manifests:
        assert manifest["kind"] in BUILT_IN | OPTIONAL
        if manifest["kind"] not in UNCHECKED:
            _validate(json.dumps(manifest), version)


@cache
def _validate(manifest: str, version: str) -> None:
    """Installations have most of their manifests in common; each is read once."""
    kubernetes_validate.validate(json.loads(manifest), version, strict=True)


def test_a_field_that_does_not_exist_would_be_found(installation: Installation) -> None:
    changed = json.loads(json.dumps(installation.services()[0]))
    changed["spec"]["template"]["spec"]["readOnlyRoot"] = True

    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRoot"):
        kubernetes_validate.validate(changed, VERSIONS[-1], strict=True)


def test_objects_have_names_of_their_own_and_the_common_labels(
    installation: Installation,
) -> None:
    names = [(one["kind"], one["metadata"]["name"]) for one in installation.manifests]
    assert len(names) == len(set(names))
    for one in installation.manifests:
        if one["kind"] == "CustomResourceDefinition":
            continue  # shared by every release
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/name"] == "hubbub"
        assert labels["app.kubernetes.io/instance"] == "hubbub"
        assert labels["app.kubernetes.io/part-of"] == "hubbub"
        assert labels["app.kubernetes.io/version"]


def test_namespaces_are_left_to_whoever_installs(installation: Installation) -> None:
    for one in installation.manifests:
        if one["kind"] == "ConfigMap" and "dashboard" in one["metadata"]["name"]:
            continue  # where Grafana looks for them
        assert "namespace" not in one["metadata"], one["metadata"]["name"]


@needs_helm
@pytest.mark.parametrize("file", CI, ids=lambda file: file.stem)
def test_helm_finds_no_fault(file: Path) -> None:
    assert HELM
    command = [
        HELM,
        "lint",
        "--strict",
        "--kube-version",
        OLDEST,
        "--values",
        str(file),
        str(CHART),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stdout


@needs_helm
def test_an_empty_cluster_knows_every_kind_of_a_plain_installation() -> None:
    """No operator, no custom resource, no Prometheus, no ingress controller."""
    kinds = {one["kind"] for one in from_values(CHART / "ci" / "default-values.yaml").manifests}

    assert kinds <= BUILT_IN - {"CustomResourceDefinition", "Ingress"}


@needs_helm
def test_kinds_that_the_cluster_does_not_know_are_left_out() -> None:
    """Even where they are asked for: the installation goes on without them."""
    wanted = (
        "httpRoute.enabled=true,httpRoute.parentRefs[0].name=edge,"
        "metrics.podMonitor.enabled=true,metrics.rules.enabled=true,operator.enabled=true"
    )
    without = {one["kind"] for one in rendered("--set", wanted)}
    known = ["gateway.networking.k8s.io/v1", "monitoring.coreos.com/v1", "hubbub.dev/v1alpha1"]
    there = {
        one["kind"]
        for one in rendered("--set", wanted, *(f"--api-versions={name}" for name in known))
    }

    assert not without & OPTIONAL
    assert {"HTTPRoute", "PodMonitor", "StreamerPool"} <= there


@needs_helm
@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_chart_renders_for_old_and_new_clusters(version: str) -> None:
    assert rendered(kubernetes=version)


@needs_helm
def test_two_releases_share_nothing() -> None:
    """Not even in one namespace."""
    one = {(it["kind"], it["metadata"]["name"]) for it in rendered("--set", "fullnameOverride=a")}
    two = {(it["kind"], it["metadata"]["name"]) for it in rendered("--set", "fullnameOverride=b")}

    assert one
    assert not one & two


@needs_helm
def test_committed_manifests_are_current(render: ModuleType) -> None:
    """`make manifests` puts them right."""
    assert [str(path) for path in render.stale(render.files())] == []


@pytest.mark.parametrize("folder", ["base", "overlays/dev", "overlays/ha"])
def test_kustomizations_name_files_that_exist_and_all_of_them(folder: str) -> None:
    made = yaml.safe_load((K8S / folder / "kustomization.yaml").read_text())
    for resource in made["resources"]:
        assert (K8S / folder / resource).exists(), resource

    beside = {file.name for file in (K8S / folder).glob("*.yaml")} - {"kustomization.yaml"}
    assert beside <= set(made["resources"])


def test_the_overlays_bring_what_the_base_asks_for() -> None:
    """The Service that the base expects NATS at, and in `dev` the Secret of the database."""
    for overlay in ("dev", "ha"):
        nats = list(yaml.safe_load_all((K8S / "overlays" / overlay / "nats.yaml").read_text()))
        assert ("Service", "hubbub-nats") in {(it["kind"], it["metadata"]["name"]) for it in nats}
    made = yaml.safe_load((K8S / "overlays" / "dev" / "kustomization.yaml").read_text())
    base = yaml.safe_load((K8S / "base-values.yaml").read_text())
    assert made["secretGenerator"][0]["name"] == base["mongodb"]["existingSecret"]
