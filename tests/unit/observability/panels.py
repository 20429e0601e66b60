"""Everything that the dashboards ask Prometheus, with their variables filled in.

    for asked in queries(namespace="chat"):
        answer = prometheus.query(asked.expression)

Tests that have a Prometheus ask it all of this; the others read it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tests.unit.observability.promql import read
from tests.unit.observability.rules import ROOT

FOLDER: Final = ROOT / "deploy" / "helm" / "hubbub" / "files" / "dashboards"

SILENT_UNTIL: Final[Mapping[str, str]] = {
    "gnatsd_": "the exporter for NATS servers runs",
    "hubbub_account_logins_": "somebody signs in",
    "hubbub_authz_decisions_": "somebody does what needs a permission",
    "hubbub_authz_invalidations_": "a role, a room or a user changes",
    "hubbub_bus_dead_letters_": "an event is given up",
    "hubbub_bus_redeliveries_": "the handler of a durable event fails",
    "hubbub_http_bad_input_": "a request cannot be understood",
    "hubbub_http_requests_": "somebody uses REST",
    "hubbub_http_request_duration_": "somebody uses REST",
    "hubbub_hub_lease_failures_": "a lease cannot be renewed",
    "hubbub_operator_": "the operator runs",
    "hubbub_presence_transitions_": "somebody comes or goes",
    "hubbub_push_": "a device registers or is forgotten",
    "hubbub_streamer_bad_input_": "a client sends what cannot be read",
    "hubbub_streamer_disconnects_": "somebody goes",
    "hubbub_streamer_logins_": "somebody signs in",
    "hubbub_streamer_ratelimited_": "somebody calls too often",
    "hubbub_streamer_subscriptions": "somebody subscribes",
    "hubbub_task_failures_": "a background task fails",
    'hubbub_rpc_client_requests_total{outcome!="ok"': "a call fails",
    'hubbub_rpc_server_requests_total{outcome=~"internal': "a call fails",
    'hubbub_up_state{state="draining"': "a process stops",
}
"""Beginnings of names → what has to happen before there is any series."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One expression of a panel or a mark."""

    dashboard: str
    panel: str
    expression: str

    @property
    def silent_until(self) -> str:
        """What has to happen before there is an answer; empty if there always is one."""
        for name, event in SILENT_UNTIL.items():
            if name in self.expression:
                return event
        # Comparisons leave nothing of what is well.
        return "something is not as it was" if re.search("unless| == 0", self.expression) else ""


def dashboards() -> dict[str, Any]:
    """The dashboards by file name."""
    return {path.name: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def queries(
    *, namespace: str = ".*", release: str = ".*", interval: str = "1m", span: str = "1h"
) -> Iterator[Asked]:
    """Every expression.

    Args:
        namespace, release: regular expressions; the label of a release is only there when it was
            scraped as the chart's PodMonitor says.
        interval: of rates; at least four times that of scraping.
        span: the time that is shown.
    """
    for name, dashboard in dashboards().items():
        values = {
            "namespace": namespace,
            "release": release,
            "__rate_interval": interval,
            "__interval": interval,
            "__range": span,
        }
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "textbox":
                values[variable["name"]] = variable["query"]
        for title, expression in _expressions(dashboard):
            yield Asked(name.removesuffix(".json"), title, _filled(expression, values))


def metrics_of(asked: Asked) -> set[str]:
    """The names of the series that it needs. Raises: NotPromQL."""
    return {selector.metric for selector in read(asked.expression).selectors}


def _expressions(dashboard: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]
    for mark in dashboard["annotations"]["list"]:
        yield f"mark {mark['name']}", mark["target"]["expr"]


def _filled(expression: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: values[found.group(1)], expression)
