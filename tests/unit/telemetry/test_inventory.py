"""The list of all metrics, the page that is made from it, and the rules that names follow."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import orjson
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from hubbub.cli.main import main
from hubbub.telemetry.histograms import QuickHistogram
from hubbub.telemetry.inventory import (
    EVERY_PROCESS,
    WITH_DATABASE,
    Described,
    described,
    registry_of,
    sample_labels,
)
from hubbub.telemetry.metrics import FAN, FAST, SIZE, SLOW

ROOT = Path(__file__).parents[3]
OURS = [one for one in described() if one.name.startswith("hubbub_")]

EXPECTED: dict[str, tuple[str, set[str], tuple[float, ...]]] = {
    # every process
    "hubbub_build_info": ("gauge", {"version", "revision", "python", "component"}, ()),
    "hubbub_up_state": ("gauge", {"state"}, ()),
    "hubbub_event_loop_lag_seconds": ("histogram", set(), FAST),
    "hubbub_tasks": ("gauge", {"kind"}, ()),
    "hubbub_task_failures_total": ("counter", {"kind"}, ()),
    "hubbub_nats_connected": ("gauge", set(), ()),
    "hubbub_nats_reconnects_total": ("counter", set(), ()),
    "hubbub_nats_lame_duck_total": ("counter", set(), ()),
    "hubbub_nats_permission_violations_total": ("counter", {"operation"}, ()),
    "hubbub_nats_messages_total": ("counter", {"direction", "kind"}, ()),
    "hubbub_nats_bytes_total": ("counter", {"direction", "kind"}, ()),
    "hubbub_nats_pending_bytes": ("gauge", set(), ()),
    "hubbub_nats_slow_consumer_total": ("counter", set(), ()),
    "hubbub_mongo_pool_connections": ("gauge", {"state"}, ()),
    "hubbub_mongo_checkout_wait_seconds": ("histogram", set(), FAST),
    "hubbub_mongo_command_duration_seconds": ("histogram", {"command", "outcome"}, FAST),
    "hubbub_rpc_client_requests_total": ("counter", {"service", "method", "outcome"}, ()),
    "hubbub_rpc_client_duration_seconds": ("histogram", {"service", "method"}, FAST),
    "hubbub_rpc_client_retries_total": ("counter", {"service"}, ()),
    "hubbub_rpc_circuit_state": ("gauge", {"service"}, ()),
    "hubbub_rpc_server_requests_total": ("counter", {"method", "outcome"}, ()),
    "hubbub_rpc_server_duration_seconds": ("histogram", {"method"}, FAST),
    "hubbub_rpc_server_inflight": ("gauge", set(), ()),
    "hubbub_rpc_server_shed_total": ("counter", set(), ()),
    "hubbub_dependency_up": ("gauge", {"dependency"}, ()),
    # streamers
    "hubbub_streamer_connections": ("gauge", set(), ()),
    "hubbub_streamer_sessions": ("gauge", {"auth"}, ()),
    "hubbub_streamer_connection_limit": ("gauge", set(), ()),
    "hubbub_streamer_handshakes_total": ("counter", {"outcome"}, ()),
    "hubbub_streamer_disconnects_total": ("counter", {"reason"}, ()),
    "hubbub_streamer_connection_duration_seconds": (
        "histogram",
        set(),
        (1, 10, 60, 300, 1800, 7200, 28800, 86400),
    ),
    "hubbub_streamer_logins_total": ("counter", {"method", "outcome"}, ()),
    "hubbub_streamer_messages_total": ("counter", {"direction", "type"}, ()),
    "hubbub_streamer_bytes_total": ("counter", {"direction", "type"}, ()),
    "hubbub_streamer_subscriptions": ("gauge", {"stream"}, ()),
    "hubbub_streamer_distinct_topics": ("gauge", set(), ()),
    "hubbub_streamer_events_received_total": ("counter", {"stream"}, ()),
    "hubbub_streamer_deliveries_total": ("counter", set(), ()),
    "hubbub_streamer_deliveries_by_stream_total": ("counter", {"stream"}, ()),
    "hubbub_streamer_filtered_total": ("counter", {"reason"}, ()),
    "hubbub_streamer_dropped_total": ("counter", {"reason"}, ()),
    "hubbub_streamer_fanout_recipients": ("histogram", set(), FAN),
    "hubbub_streamer_fanout_duration_seconds": ("histogram", set(), FAST),
    "hubbub_delivery_latency_seconds": ("histogram", {"stage"}, FAST),
    "hubbub_clock_skew_observations_total": ("counter", set(), ()),
    "hubbub_streamer_send_queue_bytes": ("gauge", {"agg"}, ()),
    "hubbub_streamer_slow_clients": ("gauge", set(), ()),
    "hubbub_streamer_recoveries_total": ("counter", {"outcome"}, ()),
    "hubbub_streamer_recovered_events": ("histogram", set(), FAN),
    "hubbub_streamer_client_recoveries_total": ("counter", {"outcome"}, ()),
    "hubbub_streamer_replayed_total": ("counter", set(), ()),
    "hubbub_streamer_gaps_detected_total": ("counter", set(), ()),
    "hubbub_streamer_drain_seconds": ("histogram", set(), SLOW),
    "hubbub_streamer_drain_forced_total": ("counter", set(), ()),
    "hubbub_streamer_drain_remaining": ("gauge", set(), ()),
    "hubbub_streamer_ratelimited_total": ("counter", {"rule"}, ()),
    # the stream-hub
    "hubbub_hub_leader": ("gauge", {"shard"}, ()),
    "hubbub_hub_epoch": ("gauge", {"shard"}, ()),
    "hubbub_hub_lease_failures_total": ("counter", {"shard", "reason"}, ()),
    "hubbub_hub_changes_total": ("counter", {"collection", "op"}, ()),
    "hubbub_hub_published_total": ("counter", {"stream"}, ()),
    "hubbub_hub_skipped_total": ("counter", {"reason"}, ()),
    "hubbub_hub_lag_seconds": ("gauge", set(), ()),
    "hubbub_hub_checkpoint_age_seconds": ("gauge", set(), ()),
    "hubbub_hub_publish_duration_seconds": ("histogram", set(), FAST),
    "hubbub_hub_batch_events": ("histogram", set(), FAN),
    "hubbub_hub_resumes_total": ("counter", {"outcome"}, ()),
    "hubbub_hub_oplog_window_seconds": ("gauge", set(), ()),
    "hubbub_hub_event_bytes": ("histogram", set(), SIZE),
    "hubbub_hub_sequence_conflicts_total": ("counter", set(), ()),
    "hubbub_hub_poison_total": ("counter", set(), ()),
    "hubbub_hub_resyncs_total": ("counter", {"reason"}, ()),
    "hubbub_hub_terms_ended_total": ("counter", {"reason"}, ()),
    "hubbub_hub_read_failures_total": ("counter", {"reason"}, ()),
    "hubbub_hub_log_refusals_total": ("counter", {"reason"}, ()),
    "hubbub_hub_log_wait_seconds": ("gauge", set(), ()),
    # the others
    "hubbub_http_requests_total": ("counter", {"route", "method", "code"}, ()),
    "hubbub_http_request_duration_seconds": ("histogram", {"route", "method"}, SLOW),
    "hubbub_http_inflight": ("gauge", set(), ()),
    "hubbub_messages_sent_total": ("counter", {"via"}, ()),
    "hubbub_message_send_duration_seconds": ("histogram", {"stage"}, SLOW),
    "hubbub_uploads_bytes_total": ("counter", set(), ()),
    "hubbub_search_duration_seconds": ("histogram", set(), SLOW),
    "hubbub_authz_decisions_total": ("counter", {"permission", "result"}, ()),
    "hubbub_authz_cache_total": ("counter", {"result"}, ()),
    "hubbub_authz_cache_entries": ("gauge", set(), ()),
    "hubbub_authz_invalidation_lag_seconds": ("histogram", set(), FAST),
    "hubbub_presence_users": ("gauge", {"status"}, ()),
    "hubbub_presence_connections": ("gauge", set(), ()),
    "hubbub_presence_transitions_total": ("counter", {"from", "to"}, ()),
    "hubbub_presence_stale_reaped_total": ("counter", set(), ()),
    "hubbub_presence_broadcast_total": ("counter", {"outcome"}, ()),
    "hubbub_presence_update_delay_seconds": ("histogram", set(), FAST),
}
"""What dashboards, alerts and autoscalers stand on. A change here is a change for operators."""


@pytest.mark.parametrize("name", EXPECTED)
def test_what_operators_stand_on_is_there(name: str) -> None:
    found = {(one.type, frozenset(one.labels), one.buckets) for one in OURS if one.name == name}
    kind, labels, buckets = EXPECTED[name]

    assert found == {(kind, frozenset(labels), buckets)}


@pytest.mark.parametrize("one", OURS, ids=lambda one: f"{one.service} {one.name}")
def test_names_follow_the_rules(one: Described) -> None:
    """Base units, `_total` for counters and for nothing else, buckets that somebody chose."""
    assert re.fullmatch(r"hubbub(_[a-z]+)+", one.name)
    assert one.name.endswith("_total") == (one.type == "counter")
    assert not re.search(r"_(ms|milliseconds|kb|mb|percent|minutes)(_|$)", one.name)
    assert one.help.endswith((".", "…"))
    assert (one.type == "histogram") == bool(one.buckets)
    assert list(one.buckets) == sorted(set(one.buckets))
    assert one.buckets != tuple(Histogram.DEFAULT_BUCKETS[:-1])
    assert "le" not in one.labels


def test_every_service_is_listed() -> None:
    services = {entry.name for entry in metadata.entry_points(group="hubbub.services")}

    assert services | {EVERY_PROCESS, WITH_DATABASE, "front-door"} == {one.service for one in OURS}


def test_one_name_means_one_thing() -> None:
    """Whoever shows it: the same type, labels and buckets."""
    shapes: dict[str, set[tuple[object, ...]]] = {}
    for one in OURS:
        shapes.setdefault(one.name, set()).add((one.type, one.labels, one.buckets, one.help))

    assert {name for name, found in shapes.items() if len(found) > 1} == set()


def test_series_of_all_kinds() -> None:
    labels = sample_labels()

    assert labels["hubbub_hub_leader"] == {"shard"}
    assert labels["hubbub_streamer_logins_total"] == {"method", "outcome"}
    assert labels["hubbub_delivery_latency_seconds_bucket"] == {"stage", "le"}
    assert labels["hubbub_delivery_latency_seconds_count"] == {"stage"}
    assert labels["hubbub_rpc_server_duration_seconds_sum"] == {"method"}
    assert labels["process_resident_memory_bytes"] == frozenset()
    assert labels["python_gc_collections_total"] == {"generation"}
    assert "hubbub_delivery_latency_seconds" not in labels


def test_meters_are_read_from_where_the_client_keeps_them(tmp_path: Path) -> None:
    """With and without labels; if the client moves them, this notices."""
    source = tmp_path / "made.py"
    source.write_text("")
    spec = importlib.util.spec_from_file_location("made", source)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)

    class SomeMetrics:
        def __init__(self, registry: CollectorRegistry) -> None:
            Counter("a", "A.", ["x", "y"], registry=registry)
            Gauge("b", "B.", registry=registry)
            Histogram("c", "C.", buckets=(1, 2), registry=registry)
            Histogram("d", "D.", ["z"], buckets=(3, 4), registry=registry)
            QuickHistogram("e", "E.", (5, 6), registry, label="w", values=("v",))

    SomeMetrics.__module__ = module.__name__
    module.SomeMetrics = SomeMetrics  # type: ignore[attr-defined]
    from hubbub.telemetry import inventory

    found = list(inventory._of("me", registry_of(module)))

    assert [(one.name, one.labels, one.buckets) for one in found] == [
        ("a_total", ("x", "y"), ()),
        ("b", (), ()),
        ("c", (), (1, 2)),
        ("d", ("z",), (3, 4)),
        ("e", ("w",), (5, 6)),
    ]


def test_the_page_is_current() -> None:
    """`python docs/metrics_table.py` puts it right."""
    command = [sys.executable, str(ROOT / "docs" / "metrics_table.py"), "--check"]

    assert subprocess.run(command, check=False, timeout=60).returncode == 0


def test_the_command_lists_for_people_and_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--list", "hub_le", "--json"]) == 0
    [leader, _] = orjson.loads(capsys.readouterr().out)
    assert leader == {
        "service": "stream-hub",
        "name": "hubbub_hub_leader",
        "type": "gauge",
        "labels": ["shard"],
        "buckets": [],
        "help": "1 while this process leads.",
    }
    assert main(["metrics", "--list", "gateway"]) == 0
    assert "hubbub_http_inflight" in capsys.readouterr().out


def test_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics"]) == 2
    assert "--list" in capsys.readouterr().err
