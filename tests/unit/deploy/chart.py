"""The chart as tests see it: its values, what it renders, and the manifests that are committed."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

Manifest = dict[str, Any]

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy" / "helm" / "hubbub"
K8S = ROOT / "deploy" / "k8s"
CI = sorted((CHART / "ci").glob("*-values.yaml"))
OLDEST, NEWEST = "1.30.0", "1.35.0"

HELM = os.environ.get("HELM") or shutil.which("helm")
needs_helm = pytest.mark.skipif(
    not HELM, reason="helm is neither on the PATH nor named by HELM; committed manifests are tested"
)


class Refused(Exception):
    """Helm did not render; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything that one way to install Hubbub makes in a cluster."""

    name: str
    manifests: tuple[Manifest, ...]
    values: Mapping[str, Any]

    def kind(self, *kinds: str) -> list[Manifest]:
        """The manifests of these kinds."""
        return [one for one in self.manifests if one["kind"] in kinds]

    def named(self, kind: str, name: str) -> Manifest:
        """The one of this kind and name."""
        [found] = [one for one in self.kind(kind) if one["metadata"]["name"] == name]
        return found

    def workloads(self) -> list[Manifest]:
        return self.kind("Deployment", "StatefulSet")

    def services(self) -> list[Manifest]:
        """The Deployments of Hubbub's own services."""
        return self.kind("Deployment")

    def pods(self) -> Iterator[tuple[str, Manifest]]:
        """Name and pod (or template of pods) of everything that runs."""
        for one in self.manifests:
            if one["kind"] == "Pod":
                yield one["metadata"]["name"], one
            elif one["kind"] in ("Deployment", "StatefulSet", "Job"):
                yield one["metadata"]["name"], one["spec"]["template"]


def rendered(*arguments: str, kubernetes: str = OLDEST) -> list[Manifest]:
    """What `helm template` makes of the chart. Raises: Refused."""
    assert HELM
    command = [HELM, "template", "hubbub", str(CHART), "--namespace", "chat"]
    done = subprocess.run(
        [*command, "--kube-version", kubernetes, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if done.returncode != 0:
        raise Refused(done.stderr)
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def values(file: Path | None = None) -> dict[str, Any]:
    """The chart's values, with those of `file` over them, as Helm merges them."""
    merged = yaml.safe_load((CHART / "values.yaml").read_text())
    if file is not None:
        _merge(merged, yaml.safe_load(file.read_text()) or {})
    return dict(merged)


def _merge(into: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


@cache
def from_values(file: Path) -> Installation:
    """The chart with one of its ci values."""
    manifests = tuple(rendered("--values", str(file)))
    return Installation(f"chart/{file.stem.removesuffix('-values')}", manifests, values(file))


@cache
def from_overlay(name: str) -> Installation:
    """The committed base with what an overlay adds; its patches are not applied."""
    files = sorted((K8S / "base").glob("*.yaml")) + sorted((K8S / "overlays" / name).glob("*.yaml"))
    manifests = [
        one
        for file in files
        if file.name != "kustomization.yaml"
        for one in yaml.safe_load_all(file.read_text())
        if one
    ]
    return Installation(f"k8s/{name}", tuple(manifests), values(K8S / "base-values.yaml"))


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether `labels` have all of `selector`."""
    return selector.items() <= labels.items()
