"""What a delivery, a connection and a thousand users cost."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.common import ONLINE, OURS, percentile
from deploy.dashboards.grafana import Dashboard, Number, Query, Row, graph, stat

_STREAMERS = 'app_kubernetes_io_component="streamer",@'
_CPU = f"sum(rate(process_cpu_seconds_total{{@}}[$__rate_interval]) {OURS})"
_MEMORY = f"sum(process_resident_memory_bytes{{@}} {OURS})"
_PER_DELIVERY = f"""1e6 * sum(rate(process_cpu_seconds_total{{{_STREAMERS}}}[$__rate_interval]))
    / sum(rate(hubbub_streamer_deliveries_total{{@}}[$__rate_interval]))"""
_PER_CONNECTION = f"""sum(process_resident_memory_bytes{{{_STREAMERS}}})
    / sum(hubbub_streamer_connections{{@}})"""

_NUMBERS = Row(
    "What every optimisation must move",
    [
        stat(
            "CPU of streamers per delivery",
            _PER_DELIVERY,
            unit="µs",
            width=6,
            about="Everything that streamers do, over the frames that they deliver.",
        ),
        stat(
            "Memory of streamers per connection",
            _PER_CONNECTION,
            unit="bytes",
            width=6,
            about="Of few connections it is mostly the interpreter's own.",
        ),
        stat(
            "Cores per 1,000 users online",
            f"1000 * {_CPU} / {ONLINE}",
            decimals=2,
            width=4,
            about="Of all of Hubbub's processes; without MongoDB and NATS.",
        ),
        stat(
            "Memory per 1,000 users online", f"1000 * {_MEMORY} / {ONLINE}", unit="bytes", width=4
        ),
        stat(
            "Cost of 1,000 users online, per month",
            f"1000 * ($core_price * {_CPU} + $gigabyte_price * {_MEMORY} / 1e9) / {ONLINE}",
            decimals=2,
            width=4,
            about="At the prices at the top of this page; what is used, not what is reserved.",
        ),
        graph("CPU per delivery", Query(_PER_DELIVERY, "streamers"), unit="µs", width=12),
        graph("Memory per connection", Query(_PER_CONNECTION, "streamers"), unit="bytes", width=12),
    ],
)

_WHERE = Row(
    "Where it goes",
    [
        graph(
            "CPU",
            Query(
                "sum by (app_kubernetes_io_component) "
                f"(rate(process_cpu_seconds_total{{@}}[$__rate_interval]) {OURS})",
                "{{app_kubernetes_io_component}}",
            ),
            about="Cores.",
            stacked=True,
        ),
        graph(
            "CPU of the busiest pod",
            Query(
                "max by (app_kubernetes_io_component) "
                f"(rate(process_cpu_seconds_total{{@}}[$__rate_interval]) {OURS})",
                "{{app_kubernetes_io_component}}",
            ),
            unit="percentunit",
            about="Of one core: a process cannot use more.",
        ),
        graph(
            "Memory",
            Query(
                f"sum by (app_kubernetes_io_component) (process_resident_memory_bytes{{@}} {OURS})",
                "{{app_kubernetes_io_component}}",
            ),
            unit="bytes",
            stacked=True,
        ),
        graph(
            "Connections over limit",
            Query(
                "hubbub_streamer_connections{@} / hubbub_streamer_connection_limit{@}",
                "{{pod}}",
            ),
            unit="percentunit",
        ),
        graph(
            "Open files over limit",
            Query(
                "max by (app_kubernetes_io_component) "
                f"(process_open_fds{{@}} / process_max_fds{{@}} {OURS})",
                "{{app_kubernetes_io_component}}",
            ),
            unit="percentunit",
        ),
        graph(
            "Event loop's lag, p99",
            percentile(0.99, "hubbub_event_loop_lag_seconds", "app_kubernetes_io_component"),
            unit="s",
        ),
    ],
)

DASHBOARD: Final = Dashboard(
    "capacity",
    "Capacity",
    "What a delivery, a connection and a thousand users cost.",
    [_NUMBERS, _WHERE],
    numbers=[
        Number("core_price", "Price of a core per month", "25"),
        Number("gigabyte_price", "Price of a gigabyte per month", "3"),
    ],
)
