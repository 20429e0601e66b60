"""The dashboards are current, whole, portable, and ask for what there is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.dashboards import render
from hubbub.telemetry.inventory import described
from tests.unit.observability.known import VALUES, faults, series
from tests.unit.observability.panels import FOLDER, Asked, dashboards, metrics_of, queries
from tests.unit.observability.promql import NotPromQL, read
from tests.unit.observability.rules import PROMTOOL, needs_promtool

_SIX = {"overview", "streamers", "hub", "services", "gateway", "capacity"}
_LARGEST = 900 * 1024  # bytes: it must fit into a ConfigMap
_ASKED = list(queries(namespace="chat", release="hubbub"))
_PAGES = dashboards()
_NOT_SHOWN = re.compile(
    # What an operator looks up when something else points there.
    r"hubbub_(account_(audit_lost|default_rooms|expired|registrations)|door_)"
    r"|process_(virtual|start)|python_"
)


def test_the_files_are_current() -> None:
    """`python deploy/dashboards/render.py` puts them right."""
    assert render.main(["--check"]) == 0


def test_there_are_six() -> None:
    assert {Path(name).stem for name in _PAGES} == _SIX


@pytest.mark.parametrize("name", _PAGES)
def test_a_dashboard_belongs_to_no_single_grafana(name: str) -> None:
    page = _PAGES[name]
    variables = {one["name"]: one for one in page["templating"]["list"]}

    assert "id" not in page
    assert page["uid"] == f"hubbub-{Path(name).stem}"
    assert (FOLDER / name).stat().st_size < _LARGEST
    assert {"datasource", "namespace", "release"} <= set(variables)
    assert {source["uid"] for source in _sources(page)} == {"${datasource}"}


@pytest.mark.parametrize("name", _PAGES)
def test_panels_have_places_of_their_own(name: str) -> None:
    panels = _PAGES[name]["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }

        assert place["x"] + place["w"] <= 24
        assert not cells & taken
        taken |= cells

    assert len({panel["id"] for panel in panels}) == len(panels)
    titles = [panel["title"] for panel in panels if panel["type"] != "row"]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", _PAGES)
def test_every_panel_asks_for_the_chosen_releases(name: str) -> None:
    """Of NATS servers the exporter does not know the release."""
    for panel in _PAGES[name]["panels"]:
        for target in panel.get("targets", ()):
            for selector in read(_plain(target["expr"])).selectors:
                chosen = {matcher.label: matcher.value for matcher in selector.matchers}

                assert chosen["namespace"] == "$namespace"
                if not selector.metric.startswith("gnatsd_"):
                    assert chosen["app_kubernetes_io_instance"] == "$release"


@pytest.mark.parametrize("asked", _ASKED, ids=lambda one: f"{one.dashboard}: {one.panel}")
def test_expressions_ask_for_what_the_code_has(asked: Asked) -> None:
    assert "$" not in asked.expression
    assert not faults(asked.expression)


@pytest.mark.parametrize("asked", _ASKED, ids=lambda one: f"{one.dashboard}: {one.panel}")
def test_histograms_are_asked_with_their_buckets(asked: Asked) -> None:
    reading = read(asked.expression)
    labels = {label for grouping in reading.groupings for label in grouping.labels}
    buckets = [one for one in reading.selectors if one.metric.endswith("_bucket")]

    if "histogram_quantile" in asked.expression:
        assert buckets
        assert "le" in labels
    for one in buckets:
        assert "le" in labels or any(matcher.label == "le" for matcher in one.matchers)


def test_nearly_everything_that_is_measured_is_shown() -> None:
    shown = {name for asked in _ASKED for name in metrics_of(asked)}
    bases = {re.sub(r"_(bucket|count|sum)$", "", name) for name in shown} | shown
    hidden = {one.name for one in described() if one.name not in bases}

    assert not {name for name in hidden if not _NOT_SHOWN.match(name)}


def test_legends_name_labels_that_are_left() -> None:
    for page in _PAGES.values():
        for panel in page["panels"]:
            for target in panel.get("targets", ()):
                named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                reading = read(_plain(target["expr"]))
                by = {label for one in reading.groupings for label in one.labels}

                assert named <= (by or {"pod"}), panel["title"]


def test_the_known_values_are_of_metrics_that_exist() -> None:
    assert {metric for metric, _ in VALUES} <= set(series())
    assert all(label in series()[metric] for metric, label in VALUES)


@pytest.mark.parametrize(
    "expression",
    [
        "sum(rate(hubbub_streamer_deliverys_total[5m]))",
        'hubbub_hub_resumes_total{outcome="gone"}',
        'hubbub_hub_resumes_total{result="lost"}',
        "sum by (reason) (hubbub_streamer_connections)",
        "rate(hubbub_streamer_connections[5m])",
        "rate(hubbub_streamer_deliveries_total)",
        "hubbub_streamer_deliveries_total[5m]",
        "1 + 1",
    ],
)
def test_mistakes_are_found(expression: str) -> None:
    assert faults(expression)


@pytest.mark.parametrize(
    "expression", ["sum(x", "x)", "x{a=}", "rat(x[5m])", "x{a=~b}", "sum by (a x", "x # y"]
)
def test_what_is_no_expression_is_found(expression: str) -> None:
    with pytest.raises(NotPromQL):
        read(expression)


@needs_promtool
def test_prometheus_understands_every_expression(tmp_path: Path) -> None:
    assert PROMTOOL
    file = tmp_path / "rules.yaml"
    rules = [
        {"record": f"panel:{index}", "expr": asked.expression} for index, asked in enumerate(_ASKED)
    ]
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    done = subprocess.run(
        [PROMTOOL, "check", "rules", "--lint=none", str(file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _plain(expression: str) -> str:
    """Variables of time stand in brackets, numbers elsewhere."""
    filled = re.sub(r"\[\$\w+\]", "[5m]", expression)
    return re.sub(r"(?<!\")\$(target|core_price|gigabyte_price)", "1", filled)


def _sources(page: Any) -> list[dict[str, Any]]:
    return [one for one in _walk(page) if set(one) == {"type", "uid"}]


def _walk(node: Any) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for one in node for found in _walk(one)]
    if isinstance(node, dict):
        return [node, *(found for one in node.values() for found in _walk(one))]
    return []
