"""Is it delivering, and what runs?"""

from __future__ import annotations

from typing import Final

from deploy.dashboards.common import ONLINE, OURS, level, per_second, percentile
from deploy.dashboards.grafana import Dashboard, Mark, Query, Row, graph, stat, table

_TOTAL = 'hubbub_delivery_latency_seconds_bucket{stage="total",@}'

_NOW = Row(
    "Now",
    [
        stat("Connections", "sum(hubbub_streamer_connections{@})"),
        stat("Users online", ONLINE),
        stat(
            "Messages",
            "sum(rate(hubbub_messages_sent_total{@}[$__rate_interval]))",
            unit="cps",
        ),
        stat(
            "Deliveries",
            "sum(rate(hubbub_streamer_deliveries_total{@}[$__rate_interval]))",
            unit="cps",
        ),
        stat(
            "Delivery, p99",
            f"histogram_quantile(0.99, sum by (le) (rate({_TOTAL}[$__rate_interval])))",
            unit="s",
            warn=0.5,
            bad=1,
            about="From the commit in MongoDB until the kernel has the frame for a client.",
        ),
        stat(
            "Hub's lag",
            "max(hubbub_hub_lag_seconds{@})",
            unit="s",
            warn=1,
            bad=5,
            about="How far the stream-hub is behind the database.",
        ),
        stat(
            "Error budget left",
            """1 - (1 - sum(increase(
                hubbub_delivery_latency_seconds_bucket{stage="total",le="0.5",@}[28d]))
              / sum(increase(
                hubbub_delivery_latency_seconds_count{stage="total",@}[28d]))) / 0.005""",
            unit="percentunit",
            warn=0.5,
            bad=0.1,
            less_is_worse=True,
            about="0.5 % of the deliveries of 28 days may take longer than 500 ms.",
        ),
        stat(
            "Holes that were not filled",
            """clamp_min(sum(increase(hubbub_streamer_gaps_detected_total{@}[1h]))
                - sum(increase(hubbub_streamer_recoveries_total{outcome="full",@}[1h])), 0)""",
            warn=1,
            bad=2,
            decimals=0,
            about="Within an hour. Clients of these rooms were told to load anew.",
        ),
    ],
)

_FLOW = Row(
    "Flow",
    [
        graph(
            "Messages sent",
            per_second("hubbub_messages_sent_total", "via"),
            unit="cps",
            stacked=True,
            about="Accepted, by the door they came through.",
        ),
        graph(
            "Delivery",
            percentile(0.5, "hubbub_delivery_latency_seconds", only='stage="total"'),
            percentile(0.9, "hubbub_delivery_latency_seconds", only='stage="total"'),
            percentile(0.99, "hubbub_delivery_latency_seconds", only='stage="total"'),
            unit="s",
        ),
        graph(
            "Users",
            Query(
                "sum by (status) (max by (namespace, app_kubernetes_io_instance, status) "
                '(hubbub_presence_users{status!="offline",@}))',
                "{{status}}",
            ),
            stacked=True,
        ),
    ],
)

_RUNS = Row(
    "Rollouts",
    [
        graph(
            "Processes by version",
            Query("count by (version) (hubbub_build_info{@})", "{{version}}"),
            stacked=True,
            about="More than one version for longer than a rollout is an alert.",
        ),
        graph(
            "Processes by state",
            Query("count by (state) (hubbub_up_state{@} == 1)", "{{state}}"),
            stacked=True,
        ),
        graph(
            "Clients left in drains",
            level("hubbub_streamer_drain_remaining", "pod"),
            stacked=True,
        ),
        table(
            "Pods",
            "pod",
            [
                (
                    "max by (pod, app_kubernetes_io_component, version) (hubbub_build_info{@})",
                    "",
                    "",
                ),
                ("max by (pod, state) (hubbub_up_state{@} == 1)", "", ""),
                ("sum by (pod) (hubbub_streamer_connections{@})", "connections", "short"),
                (
                    "histogram_quantile(0.99, sum by (pod, le) "
                    "(rate(hubbub_event_loop_lag_seconds_bucket{@}[5m])))",
                    "loop lag, p99",
                    "s",
                ),
                (
                    f"sum by (pod) (process_resident_memory_bytes{{@}} {OURS})",
                    "memory",
                    "bytes",
                ),
                (
                    f"sum by (pod) (rate(process_cpu_seconds_total{{@}}[5m]) {OURS})",
                    "CPU",
                    "percentunit",
                ),
            ],
        ),
    ],
)

DASHBOARD: Final = Dashboard(
    "overview",
    "Overview",
    "Is it delivering, how late, and what runs?",
    [_NOW, _FLOW, _RUNS],
    marks=[
        Mark(
            "Rollout",
            "count by (version) (hubbub_build_info{@}) "
            "unless count by (version) (hubbub_build_info{@} offset 2m)",
            "version {{version}}",
            "blue",
        ),
        Mark(
            "Drain",
            'max by (pod) (hubbub_up_state{state="draining",@} == 1)',
            "{{pod}}",
            "orange",
        ),
    ],
)
