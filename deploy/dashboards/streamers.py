"""Who is connected where, what they get, and what they do not."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.common import buckets, level, per_second, percentile
from deploy.dashboards.grafana import Dashboard, Number, Query, Row, graph, heatmap

_CONNECTIONS = Row(
    "Connections",
    [
        graph(
            "Connections",
            level("hubbub_streamer_connections", "pod"),
            level("hubbub_streamer_connection_limit", legend="limit"),
            Query("$target * count(hubbub_streamer_connections{@})", "autoscaler's target"),
            stacked=True,
            lines=["limit", "autoscaler's target"],
            width=12,
            about="The target is that of the autoscaler, written at the top of this page.",
        ),
        graph(
            "Imbalance",
            Query(
                "max(hubbub_streamer_connections{@}) / avg(hubbub_streamer_connections{@})",
                "fullest over mean",
            ),
            width=6,
        ),
        graph("Sessions", level("hubbub_streamer_sessions", "auth"), stacked=True, width=6),
        graph("Handshakes", per_second("hubbub_streamer_handshakes_total", "outcome"), unit="cps"),
        graph("Disconnects", per_second("hubbub_streamer_disconnects_total", "reason"), unit="cps"),
        graph(
            "Logins",
            per_second("hubbub_streamer_logins_total", "method, outcome"),
            unit="cps",
        ),
        graph(
            "Logins in line",
            level("hubbub_streamer_logins_waiting", "pod"),
            stacked=True,
            about="After a mass reconnect; sockets stay open meanwhile.",
        ),
        graph(
            "Logins that may begin per second",
            level("hubbub_streamer_login_rate", "pod"),
            about="Grows while logins are quick and somebody waits, halves when they are slow.",
        ),
        heatmap(
            "How long connections lasted",
            buckets("hubbub_streamer_connection_duration_seconds"),
            unit="s",
        ),
        graph("Subscriptions", level("hubbub_streamer_subscriptions", "stream"), stacked=True),
        graph(
            "Audiences followed in NATS",
            level("hubbub_streamer_distinct_topics", "pod"),
            stacked=True,
        ),
    ],
)

_DELIVERY = Row(
    "Delivery",
    [
        graph(
            "Deliveries by pod",
            per_second("hubbub_streamer_deliveries_total", "pod"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Deliveries by stream",
            per_second("hubbub_streamer_deliveries_by_stream_total", "stream"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Events received",
            per_second("hubbub_streamer_events_received_total", "stream"),
            unit="cps",
            stacked=True,
        ),
        heatmap("Sockets per event", buckets("hubbub_streamer_fanout_recipients"), unit="short"),
        graph(
            "Fan-out of one event",
            percentile(0.5, "hubbub_streamer_fanout_duration_seconds"),
            percentile(0.99, "hubbub_streamer_fanout_duration_seconds"),
            unit="s",
            about="From its first socket to its last.",
        ),
        graph(
            "Latency by stage, p99",
            percentile(
                0.99,
                "hubbub_delivery_latency_seconds",
                "stage",
                only='stage!="total"',
            ),
            percentile(
                0.99, "hubbub_delivery_latency_seconds", only='stage="total"', legend="total"
            ),
            unit="s",
            stacked=True,
            lines=["total"],
            about="Percentiles of parts do not add up to that of the whole; they show which part"
            " it is.",
        ),
        graph(
            "Frames from clients",
            per_second("hubbub_streamer_messages_total", "type", only='direction="in"'),
            unit="cps",
        ),
        graph(
            "Frames to clients",
            per_second("hubbub_streamer_messages_total", "type", only='direction="out"'),
            unit="cps",
        ),
        graph(
            "Bytes on sockets",
            per_second("hubbub_streamer_bytes_total", "direction"),
            unit="Bps",
        ),
    ],
)

_BACKPRESSURE = Row(
    "What does not arrive",
    [
        graph(
            "Waiting for slow clients",
            level("hubbub_streamer_send_queue_bytes", "pod", only='agg="sum"'),
            level(
                "hubbub_streamer_send_queue_bytes",
                only='agg="max"',
                of="max",
                legend="slowest client",
            ),
            unit="bytes",
            lines=["slowest client"],
        ),
        graph("Slow clients", level("hubbub_streamer_slow_clients", "pod"), stacked=True),
        graph(
            "Done without for load",
            level("hubbub_streamer_shedding", "pod", of="max"),
            about="1: presence is put off. 2: typing is dropped, too. The event loop was more than"
            " 0.25 s late for 5 s.",
        ),
        graph(
            "Rightly not delivered",
            per_second("hubbub_streamer_filtered_total", "reason"),
            unit="cps",
        ),
        graph(
            "Given up",
            per_second("hubbub_streamer_dropped_total", "reason"),
            unit="cps",
            about="Typing and presence give way first; `slow_client` ends a connection.",
        ),
        graph(
            "Refused by rate limits",
            per_second("hubbub_streamer_ratelimited_total", "rule", rare=True),
            unit="cps",
        ),
        graph(
            "Bad input",
            per_second("hubbub_streamer_bad_input_total", "kind", rare=True),
            unit="cps",
        ),
    ],
)

_CONTINUITY = Row(
    "Continuity and drains",
    [
        graph(
            "Holes, and how they ended",
            per_second("hubbub_streamer_gaps_detected_total", legend="holes"),
            per_second("hubbub_streamer_recoveries_total", "outcome"),
            unit="cps",
            lines=["holes"],
            about="With `full` nothing was lost; `not_needed` was a suspicion. All others mean that"
            " clients load anew.",
        ),
        graph(
            "Events per recovery",
            percentile(0.5, "hubbub_streamer_recovered_events"),
            percentile(0.99, "hubbub_streamer_recovered_events"),
        ),
        graph(
            "Clients that say where they were",
            per_second("hubbub_streamer_client_recoveries_total", "outcome"),
            per_second("hubbub_streamer_replayed_total", legend="frames"),
            unit="cps",
            lines=["frames"],
            about="`recovered` got all that they missed from the log, `not_asked` had no position"
            " yet. All others fetch it from the database.",
        ),
        graph(
            "Clients left in drains", level("hubbub_streamer_drain_remaining", "pod"), stacked=True
        ),
        graph(
            "Duration of drains",
            percentile(0.5, "hubbub_streamer_drain_seconds"),
            percentile(0.99, "hubbub_streamer_drain_seconds"),
            unit="s",
        ),
        graph(
            "Cut at the end of a drain",
            Query("sum by (pod) (increase(hubbub_streamer_drain_forced_total{@}[5m]))", "{{pod}}"),
        ),
        graph(
            "Clocks that disagree",
            per_second("hubbub_clock_skew_observations_total", "pod"),
            unit="cps",
            about="Latencies that came out negative.",
        ),
    ],
)

_OPERATOR = Row(
    "Operator",
    [
        graph(
            "Passes",
            per_second("hubbub_operator_reconciles_total", "kind, outcome"),
            unit="cps",
        ),
        graph(
            "Duration of a pass, p99",
            percentile(0.99, "hubbub_operator_reconcile_duration_seconds", "kind"),
            unit="s",
        ),
        graph(
            "Since the API server spoke",
            level("hubbub_operator_watch_age_seconds", "kind", of="max"),
            unit="s",
        ),
        graph(
            "Drains for scale-in",
            Query(
                "sum by (outcome) (increase(hubbub_operator_drains_total{@}[5m]))",
                "{{outcome}}",
            ),
        ),
        graph(
            "Connections moved",
            per_second("hubbub_operator_shed_connections_total", legend="shed"),
            unit="cps",
        ),
        graph(
            "Imbalance, deletion costs written",
            level("hubbub_operator_imbalance_ratio", of="max", legend="imbalance"),
            per_second("hubbub_operator_pod_annotations_total", legend="costs per second"),
        ),
    ],
)

DASHBOARD: Final = Dashboard(
    "streamers",
    "Streamers",
    "Connections, deliveries, what is not delivered and why, drains.",
    [_CONNECTIONS, _DELIVERY, _BACKPRESSURE, _CONTINUITY, _OPERATOR],
    numbers=[Number("target", "Connections per pod the autoscaler aims at", "4000")],
)
