"""Who leads, how far it is, and what NATS carries."""

from __future__ import annotations

from typing import Final

from deploy.dashboards.common import buckets, level, per_second, percentile
from deploy.dashboards.grafana import Dashboard, Query, Row, graph, heatmap, strip

_LEADERSHIP = Row(
    "Leadership",
    [
        strip(
            "Leader",
            Query("max by (shard, pod) (hubbub_hub_leader{@})", "{{shard}} {{pod}}"),
            {"0": ("stands by", "text"), "1": ("leads", "green")},
        ),
        graph("Epoch", level("hubbub_hub_epoch", "shard", of="max"), width=6),
        graph(
            "Lease failures",
            per_second("hubbub_hub_lease_failures_total", "shard, reason"),
            unit="cps",
            width=6,
        ),
        graph(
            "Ends of terms",
            Query("sum by (reason) (increase(hubbub_hub_terms_ended_total{@}[5m]))", "{{reason}}"),
            about="`stopped` is a rollout; everything else has a reason that somebody can see to.",
        ),
        graph(
            "Waiting for the log",
            level("hubbub_hub_log_wait_seconds", "pod", of="max"),
            unit="s",
            about="Since when JetStream has taken nothing though there is something to take.",
        ),
    ],
)

_READING = Row(
    "From MongoDB to the log",
    [
        graph("Lag", level("hubbub_hub_lag_seconds", "pod", of="max"), unit="s"),
        graph(
            "Checkpoint's age, database's history",
            level("hubbub_hub_checkpoint_age_seconds", of="max", legend="checkpoint's age"),
            level("hubbub_hub_oplog_window_seconds", of="min", legend="history"),
            unit="s",
            about="A hub that is away for longer than the history reaches loses its place.",
        ),
        graph(
            "Changes read",
            per_second("hubbub_hub_changes_total", "collection, op"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "Events published",
            per_second("hubbub_hub_published_total", "stream"),
            unit="cps",
            stacked=True,
        ),
        graph(
            "From reading to the log's acknowledgement",
            percentile(0.5, "hubbub_hub_publish_duration_seconds"),
            percentile(0.99, "hubbub_hub_publish_duration_seconds"),
            unit="s",
        ),
        heatmap("Changes decided in one go", buckets("hubbub_hub_batch_events"), unit="short"),
        heatmap("Size of events", buckets("hubbub_hub_event_bytes"), unit="bytes"),
        graph(
            "Passed over",
            per_second("hubbub_hub_skipped_total", "reason"),
            per_second("hubbub_hub_poison_total", legend="unreadable"),
            unit="cps",
            about="Changes without events are normal; unreadable ones are not.",
        ),
        graph(
            "Beginnings of reading",
            Query("sum by (outcome) (increase(hubbub_hub_resumes_total{@}[5m]))", "{{outcome}}"),
            about="`lost`: the history did not reach back far enough, clients load anew.",
        ),
        graph(
            "Resyncs",
            Query("sum by (reason) (increase(hubbub_hub_resyncs_total{@}[5m]))", "{{reason}}"),
            about="Times that clients were told to load anew: all, or of `too_large` a few.",
        ),
        graph(
            "Breaks of reading",
            Query(
                "sum by (reason) (increase(hubbub_hub_read_failures_total{@}[5m]))", "{{reason}}"
            ),
            about="`silent`: MongoDB did not answer. `interrupted`: an election, the network.",
        ),
        graph(
            "Refused by the log",
            per_second("hubbub_hub_log_refusals_total", "reason"),
            unit="cps",
        ),
        graph(
            "Doubts about the log",
            per_second("hubbub_hub_sequence_conflicts_total", legend="conflicts"),
            per_second("hubbub_hub_recoveries_total", legend="comparisons"),
            unit="cps",
        ),
    ],
)

_BUS = Row(
    "Bus, as services see it",
    [
        graph(
            "Messages",
            per_second("hubbub_nats_messages_total", "direction, kind"),
            unit="cps",
        ),
        graph("Bytes", per_second("hubbub_nats_bytes_total", "direction, kind"), unit="Bps"),
        graph("Waiting to be sent", level("hubbub_nats_pending_bytes", "pod"), unit="bytes"),
        graph(
            "Connected",
            Query(
                "sum by (app_kubernetes_io_component) (hubbub_nats_connected{@})",
                "{{app_kubernetes_io_component}}",
            ),
            Query("count(hubbub_nats_connected{@})", "all"),
            stacked=True,
            lines=["all"],
        ),
        graph(
            "Reconnects, servers that go",
            per_second("hubbub_nats_reconnects_total", legend="reconnects"),
            per_second("hubbub_nats_lame_duck_total", legend="servers that announced their end"),
            unit="cps",
        ),
        graph(
            "Slow consumers",
            Query("sum by (pod) (increase(hubbub_nats_slow_consumer_total{@}[5m]))", "{{pod}}"),
            about="Messages that were lost because a subscription overflowed.",
        ),
        graph(
            "Forbidden on NATS",
            per_second(
                "hubbub_nats_permission_violations_total",
                "app_kubernetes_io_component, operation",
                rare=True,
            ),
            unit="cps",
            about="What a service tried and may not do: a defect, or somebody else's hand.",
        ),
        graph(
            "Events between services",
            per_second("hubbub_bus_events_total", "name, direction"),
            unit="cps",
        ),
        graph(
            "Durable events that failed",
            per_second(
                "hubbub_bus_redeliveries_total", "name", legend="again: {{name}}", rare=True
            ),
            per_second(
                "hubbub_bus_dead_letters_total", "name", legend="given up: {{name}}", rare=True
            ),
            unit="cps",
        ),
    ],
)

_SERVERS = Row(
    "NATS servers (with their exporter)",
    [
        graph(
            "Bytes through the servers",
            Query(
                'sum by (pod) (rate(gnatsd_varz_in_bytes{namespace=~"$namespace"}'
                "[$__rate_interval]))",
                "in {{pod}}",
            ),
            Query(
                'sum by (pod) (rate(gnatsd_varz_out_bytes{namespace=~"$namespace"}'
                "[$__rate_interval]))",
                "out {{pod}}",
            ),
            unit="Bps",
        ),
        graph(
            "Clients, and those cut as slow",
            Query(
                'sum by (pod) (gnatsd_varz_connections{namespace=~"$namespace"})',
                "clients {{pod}}",
            ),
            Query(
                'sum by (pod) (increase(gnatsd_varz_slow_consumers{namespace=~"$namespace"}[5m]))',
                "cut {{pod}}",
            ),
        ),
        graph(
            "Gateways to other clusters",
            Query(
                "sum by (remote_gateway_name) (rate(gnatsd_gatewayz_inbound_gateway_conn_in_bytes"
                '{namespace=~"$namespace"}[$__rate_interval]))',
                "in {{remote_gateway_name}}",
            ),
            Query(
                "sum by (remote_gateway_name) (rate(gnatsd_gatewayz_outbound_gateway_conn_out_bytes"
                '{namespace=~"$namespace"}[$__rate_interval]))',
                "out {{remote_gateway_name}}",
            ),
            unit="Bps",
        ),
    ],
)

DASHBOARD: Final = Dashboard(
    "hub",
    "Stream-hub and bus",
    "Who leads, how far it is behind the database, and what NATS carries.",
    [_LEADERSHIP, _READING, _BUS, _SERVERS],
)
