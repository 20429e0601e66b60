"""Alerts and dashboards reach the cluster as the files say, with what the values change."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.deploy.chart import CHART, HELM, OLDEST, ROOT, from_values, needs_helm, rendered

pytestmark = needs_helm

ALERTS = """
groups:
  - name: test
    rules:
      - alert: HubbubSlow
        expr: hubbub_slow > 1
        for: 5m
        labels: {severity: critical}
        annotations:
          summary: "{{ $labels.pod }} is slow"
          runbook_url: docs/runbooks/HubbubSlow.md
      - alert: HubbubGone
        expr: absent(hubbub_up_state)
        labels: {severity: critical}
        annotations: {runbook_url: "https://elsewhere.example.org/gone"}
      - record: hubbub:rate
        expr: rate(hubbub_x_total[1m])
"""


@pytest.fixture
def chart(tmp_path: Path) -> Path:
    """The chart with alerts and a dashboard of the test's own."""
    copy = tmp_path / "hubbub"
    shutil.copytree(CHART, copy)
    for folder in ("alerts", "dashboards"):
        shutil.rmtree(copy / "files" / folder, ignore_errors=True)
        (copy / "files" / folder).mkdir()
    (copy / "files" / "alerts" / "test.yaml").write_text(ALERTS)
    (copy / "files" / "dashboards" / "test.json").write_text(
        json.dumps({"title": "Test", "legend": "{{pod}}"})
    )
    return copy


def _rendered(chart: Path, *arguments: str) -> list[dict[str, Any]]:
    assert HELM
    command = [HELM, "template", "hubbub", str(chart), "--kube-version", OLDEST, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [one for one in yaml.safe_load_all(done.stdout) if one]


def test_alerts_are_changed_by_name_and_nothing_else_is(chart: Path) -> None:
    values = {
        "metrics": {
            "rules": {
                "enabled": True,
                "force": True,
                "labels": {"release": "prometheus"},
                "runbookBaseUrl": "https://runbooks.example.org/",
                "alerts": {
                    "HubbubSlow": {"for": "10m", "severity": "warning"},
                    "HubbubGone": {"enabled": False},
                },
            }
        }
    }
    (chart / "mine.yaml").write_text(yaml.safe_dump(values))
    made = _rendered(chart, "--values", str(chart / "mine.yaml"))
    [rule] = [one for one in made if one["kind"] == "PrometheusRule"]

    assert rule["metadata"]["labels"]["release"] == "prometheus"
    assert rule["spec"]["groups"] == [
        {
            "name": "test",
            "rules": [
                {
                    "alert": "HubbubSlow",
                    "expr": "hubbub_slow > 1",
                    "for": "10m",
                    "labels": {"severity": "warning"},
                    "annotations": {
                        "summary": "{{ $labels.pod }} is slow",
                        "runbook_url": "https://runbooks.example.org/HubbubSlow.md",
                    },
                },
                {"record": "hubbub:rate", "expr": "rate(hubbub_x_total[1m])"},
            ],
        }
    ]


def test_dashboards_arrive_as_they_are(chart: Path) -> None:
    made = _rendered(
        chart, "--set", "metrics.dashboards.enabled=true,metrics.dashboards.namespace=monitoring"
    )
    [dashboard] = [one for one in made if "dashboard" in one["metadata"]["name"]]

    assert dashboard["metadata"]["namespace"] == "monitoring"
    assert dashboard["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert json.loads(dashboard["data"]["test.json"]) == {"title": "Test", "legend": "{{pod}}"}


def test_every_file_is_shipped() -> None:
    """Those that are there now."""
    installation = from_values(CHART / "ci" / "observability-values.yaml")
    groups = [
        group["name"]
        for rule in installation.kind("PrometheusRule")
        for group in rule["spec"]["groups"]
    ]
    files = sorted((CHART / "files" / "alerts").glob("*.yaml"))
    assert groups == [
        group["name"] for file in files for group in yaml.safe_load(file.read_text())["groups"]
    ]
    shipped = {key for one in installation.kind("ConfigMap") for key in one["data"]}
    assert shipped - {"nats.conf"} == {
        file.name for file in (CHART / "files" / "dashboards").glob("*.json")
    }


def test_pods_are_scraped_once() -> None:
    """By the PodMonitor, whatever state they are in, or by their annotations."""
    monitored = from_values(CHART / "ci" / "observability-values.yaml")
    [monitor] = monitored.kind("PodMonitor")
    endpoint, of_nats = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("ops", "/metrics")
    assert (of_nats["port"], of_nats["path"]) == ("metrics", "/metrics")
    for service in monitored.services():
        labels = service["spec"]["template"]["metadata"]["labels"]
        assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
        assert set(monitor["spec"]["podTargetLabels"]) <= set(labels)
        assert "annotations" not in service["spec"]["template"]["metadata"]

    annotated = from_values(CHART / "ci" / "keda-values.yaml")
    assert not annotated.kind("PodMonitor")
    for service in annotated.services():
        annotations = service["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == "8081"


def test_a_server_is_told_of_only_where_that_is_asked_for() -> None:
    """By one exporter in each of its pods, which says nothing of the server's readiness."""
    monitored = from_values(CHART / "ci" / "observability-values.yaml")
    template = monitored.named("StatefulSet", "hubbub-nats")["spec"]["template"]
    [exporter] = [one for one in template["spec"]["containers"] if one["name"] == "exporter"]
    assert exporter["ports"] == [{"name": "metrics", "containerPort": 7777, "protocol": "TCP"}]
    assert exporter["args"][0] == "-port=7777"
    assert {"-varz", "-gatewayz", "-jsz=streams"} <= set(exporter["args"])
    monitor_port = next(
        port["containerPort"]
        for port in template["spec"]["containers"][0]["ports"]
        if port["name"] == "monitor"
    )
    assert exporter["args"][-1] == f"http://localhost:{monitor_port}"
    assert not any(key.endswith("Probe") for key in exporter)

    by_default = from_values(CHART / "ci" / "default-values.yaml")
    template = by_default.named("StatefulSet", "hubbub-nats")["spec"]["template"]
    assert [one["name"] for one in template["spec"]["containers"]] == ["nats"]


def test_an_exporter_is_found_by_its_pods_annotations() -> None:
    changes = "metrics.annotations.enabled=true,nats.exporter.enabled=true"
    [nats] = [
        one
        for one in rendered("--set", changes)
        if one["kind"] == "StatefulSet" and one["metadata"]["name"] == "hubbub-nats"
    ]
    annotations = nats["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == "7777"


def test_the_notes_tell_the_rules_of_the_adapter() -> None:
    """The same as its values file has."""
    notes = (CHART / "templates" / "NOTES.txt").read_text()
    file = ROOT / "deploy" / "helm" / "prometheus-adapter-values.yaml"
    for rule in yaml.safe_load(file.read_text())["rules"]["custom"]:
        assert rule["seriesQuery"] in notes
        assert rule["metricsQuery"] in notes
