"""REST, the way of a message into the database, files, search, devices."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.common import level, per_second, percentile
from deploy.dashboards.grafana import Dashboard, Query, Row, graph, stat

_REST = Row(
    "REST",
    [
        stat(
            "Requests",
            "sum(rate(hubbub_http_requests_total{@}[$__rate_interval]))",
            unit="cps",
            width=6,
        ),
        stat(
            "Share without a 5xx",
            """1 - (
                sum(rate(hubbub_http_requests_total{code=~"5..",@}[$__rate_interval]))
                or vector(0))
              / sum(rate(hubbub_http_requests_total{@}[$__rate_interval]))""",
            unit="percentunit",
            warn=0.999,
            bad=0.99,
            less_is_worse=True,
            decimals=3,
            width=6,
        ),
        stat(
            "Duration, p99",
            "histogram_quantile(0.99, sum by (le) "
            "(rate(hubbub_http_request_duration_seconds_bucket{@}[$__rate_interval])))",
            unit="s",
            warn=0.5,
            bad=2.5,
            width=6,
        ),
        stat("Being worked on", "sum(hubbub_http_inflight{@})", width=6),
        graph(
            "Requests by route",
            per_second("hubbub_http_requests_total", "method, route"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Answers by code",
            per_second("hubbub_http_requests_total", "code"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Duration by route, p99",
            percentile(0.99, "hubbub_http_request_duration_seconds", "method, route"),
            unit="s",
        ),
        graph("Being worked on by pod", level("hubbub_http_inflight", "pod"), stacked=True),
        graph("Bad input", per_second("hubbub_http_bad_input_total", "kind"), unit="cps"),
    ],
)

_SENDING = Row(
    "Sending",
    [
        graph(
            "Messages by door",
            per_second("hubbub_messages_sent_total", "via"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Stages of a send, p99",
            percentile(0.99, "hubbub_message_send_duration_seconds", "stage"),
            unit="s",
        ),
        graph(
            "Messages per transaction",
            percentile(0.5, "hubbub_messaging_batch_messages"),
            percentile(0.99, "hubbub_messaging_batch_messages"),
        ),
        graph(
            "Sends that did not go as they should",
            per_second(
                "hubbub_messaging_sends_refused_total", legend="refused: the room is too busy"
            ),
            per_second("hubbub_messaging_sends_unknown_total", legend="not confirmed in time"),
            per_second("hubbub_messaging_sends_repeated_total", legend="sent again"),
            unit="cps",
        ),
        graph(
            "Until unread counters are written, p99",
            percentile(0.99, "hubbub_messaging_effects_delay_seconds"),
            unit="s",
        ),
        graph(
            "Unread counters",
            per_second("hubbub_messaging_effects_total", legend="messages"),
            per_second("hubbub_messaging_effects_failed_total", legend="failed attempts"),
            per_second("hubbub_messaging_effects_repaired_total", legend="rooms repaired"),
            unit="cps",
        ),
    ],
)

_MORE = Row(
    "Files, search, devices",
    [
        graph("Uploads", per_second("hubbub_uploads_bytes_total", "pod"), unit="Bps", stacked=True),
        graph(
            "Searches",
            percentile(0.5, "hubbub_search_duration_seconds"),
            percentile(0.99, "hubbub_search_duration_seconds"),
            unit="s",
        ),
        graph(
            "Searches per second",
            Query("sum(rate(hubbub_search_duration_seconds_count{@}[$__rate_interval]))", "all"),
            unit="cps",
        ),
        graph(
            "Devices registered",
            per_second("hubbub_push_registrations_total", "kind"),
            unit="cps",
        ),
        graph(
            "Devices forgotten",
            per_second("hubbub_push_forgotten_total", "reason"),
            unit="cps",
        ),
    ],
)

DASHBOARD: Final = Dashboard(
    "gateway",
    "Gateway",
    "REST by route, the way of a message into the database, files, search, devices.",
    [_REST, _SENDING, _MORE],
)
