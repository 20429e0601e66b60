"""For every alert a story in which it fires, and a near one in which it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.unit.observability.stories import (
    LONG_STEP,
    Case,
    answers,
    builds,
    calls,
    circuit,
    durations,
    hubs,
    latency,
    one,
    streamers,
)

_STREAMER_1 = {"pod": "streamer-1"}
_CRITICAL = {"severity": "critical"}
_WARNING = {"severity": "warning"}
_GATEWAY = {"pod": "gateway-1", "app_kubernetes_io_component": "gateway"}

CASES: Final[Sequence[Case]] = (
    Case(
        "HubbubDeliverySlow",
        "one in fifty takes seconds",
        latency(98, 2, 48),
        "11m",
        [_CRITICAL],
    ),
    Case("HubbubDeliverySlow", "one in two hundred does", latency(995, 5, 48), "11m"),
    Case("HubbubDeliverySlow", "nobody says anything", latency(0, 0, 48), "11m"),
    # --- burn
    Case(
        "HubbubDeliveryBurn",
        "ten in a hundred for an hour",
        latency(90, 10, 280),
        "65m",
        [_CRITICAL, _WARNING],
    ),
    Case(
        "HubbubDeliveryBurn",
        "four in a hundred for hours: not fast, but steady",
        latency(96, 4, 200),
        "390m",
        [_WARNING],
        LONG_STEP,
    ),
    Case(
        "HubbubDeliveryBurn",
        "two in a hundred",
        latency(98, 2, 200),
        "390m",
        step=LONG_STEP,
    ),
    Case(
        "HubbubDeliveryBurn",
        "all were late for a while, and are not any more",
        one(
            "hubbub_delivery_latency_seconds_bucket",
            "0x40 0+100x200",
            pod="streamer-1",
            stage="total",
            le="0.5",
        )
        | one(
            "hubbub_delivery_latency_seconds_count", "0+100x240", pod="streamer-1", stage="total"
        ),
        "45m",
    ),
    # --- gaps
    Case(
        "HubbubGaps",
        "holes that the log could not fill",
        streamers(10, gaps_detected_total="0x20 0+1x40")
        | one("hubbub_streamer_recoveries_total", "0x20 0+0x40", pod="streamer-1", outcome="full")
        | one(
            "hubbub_streamer_recoveries_total", "0x20 0+1x40", pod="streamer-1", outcome="failed"
        ),
        "14m",
        [_CRITICAL],
    ),
    Case(
        "HubbubGaps",
        "every hole was filled",
        streamers(10, gaps_detected_total="0x20 0+1x40")
        | one("hubbub_streamer_recoveries_total", "0x20 0+1x40", pod="streamer-1", outcome="full"),
        "14m",
    ),
    # --- nothing is watched
    Case("HubbubMetricsAbsent", "nothing at all", {}, "6m", [{}]),
    Case(
        "HubbubMetricsAbsent",
        "another release has streamers, this one has not",
        builds("1.0") | {'hubbub_streamer_connections{namespace="other",pod="streamer-1"}': "5x60"},
        "6m",
        [_CRITICAL],
    ),
    Case("HubbubMetricsAbsent", "a streamer without clients", streamers(0) | builds("1"), "6m"),
    # --- the hub
    Case(
        "HubbubNoHubLeader",
        "two standbys",
        one("hubbub_hub_leader", "0x20", pod="hub-1", shard="0")
        | one("hubbub_hub_leader", "0x20", pod="hub-2", shard="0"),
        "2m",
        [_CRITICAL | {"shard": "0"}],
    ),
    Case("HubbubNoHubLeader", "no hub, but others", builds("1.0"), "2m", [_CRITICAL]),
    Case(
        "HubbubNoHubLeader",
        "one gave the lease to another, within a scrape",
        one("hubbub_hub_leader", "1 1 1 1 0 0 0 0", pod="hub-1", shard="0")
        | one("hubbub_hub_leader", "0 0 0 0 0 1 1 1", pod="hub-2", shard="0")
        | builds("1.0"),
        "75s",
    ),
    Case(
        "HubbubTwoHubLeaders",
        "both",
        one("hubbub_hub_leader", "1x20", pod="hub-1", shard="0")
        | one("hubbub_hub_leader", "0 0 1x20", pod="hub-2", shard="0"),
        "2m",
        [_CRITICAL | {"shard": "0"}],
    ),
    Case(
        "HubbubTwoHubLeaders",
        "the one that died is still seen for a moment",
        one("hubbub_hub_leader", "1 1 1 1 stale", pod="hub-1", shard="0")
        | one("hubbub_hub_leader", "0 0 1x20", pod="hub-2", shard="0"),
        "1m",
    ),
    Case(
        "HubbubHubLag",
        "seven seconds",
        hubs("hubbub_hub_lag_seconds", "7x40", "0x40"),
        "3m",
        [_CRITICAL],
    ),
    Case(
        "HubbubHubLag",
        "a standby that once was behind, and a leader that is a little",
        hubs("hubbub_hub_lag_seconds", "4x40", "90x40"),
        "3m",
    ),
    Case(
        "HubbubOplogShort",
        "five hours, and no more",
        hubs("hubbub_hub_oplog_window_seconds", "18000x400", "18000x400"),
        "80m",
        [_WARNING],
    ),
    Case(
        "HubbubOplogShort",
        "an hour: the database is new, nothing was cut off",
        hubs("hubbub_hub_oplog_window_seconds", "60+15x400", "60+15x400"),
        "80m",
    ),
    Case(
        "HubbubOplogShort",
        "the hub may not look",
        hubs("hubbub_hub_oplog_window_seconds", "0x400", "0x400"),
        "80m",
    ),
    Case(
        "HubbubOplogShort",
        "seven hours",
        hubs("hubbub_hub_oplog_window_seconds", "25200x400", "25200x400"),
        "80m",
    ),
    Case(
        "HubbubCheckpointStale",
        "a leader that does not save",
        hubs("hubbub_hub_checkpoint_age_seconds", "0+15x40", "0x40"),
        "9m",
        [_WARNING],
    ),
    Case(
        "HubbubCheckpointStale",
        "saved a moment ago",
        hubs("hubbub_hub_checkpoint_age_seconds", "1x40", "0x40"),
        "9m",
    ),
    Case(
        "HubbubHistoryLost",
        "the first thing that a new process finds out",
        one("hubbub_hub_resumes_total", "_x20 1x20", pod="hub-1", outcome="lost"),
        "6m",
        [_CRITICAL],
    ),
    Case(
        "HubbubHistoryLost",
        "once more",
        one("hubbub_hub_resumes_total", "1x80 2x20", pod="hub-1", outcome="lost"),
        "21m",
        [_CRITICAL],
    ),
    Case(
        "HubbubHistoryLost",
        "long ago; and a connection that was made anew",
        one("hubbub_hub_resumes_total", "1x100", pod="hub-1", outcome="lost")
        | one("hubbub_hub_resumes_total", "1+1x100", pod="hub-1", outcome="token"),
        "24m",
    ),
    Case(
        "HubbubEventLogStuck",
        "no room",
        hubs("hubbub_hub_log_wait_seconds", "0 0+15x40", "0x40"),
        "3m",
        [_CRITICAL],
    ),
    Case(
        "HubbubEventLogStuck",
        "the stream elects a leader",
        hubs("hubbub_hub_log_wait_seconds", "0 6 0x40", "0x40"),
        "1m",
    ),
    Case(
        "HubbubHubUnsettled",
        "two pods in turns",
        one("hubbub_hub_terms_ended_total", "0+1x40", pod="hub-1", reason="stuck")
        | one("hubbub_hub_terms_ended_total", "0x40", pod="hub-1", reason="stopped"),
        "9m",
        [_WARNING],
    ),
    Case(
        "HubbubHubUnsettled",
        "a node was lost, and a rollout of ten",
        one("hubbub_hub_terms_ended_total", "0 1x40", pod="hub-1", reason="expired")
        | one("hubbub_hub_terms_ended_total", "0+1x10 10x30", pod="hub-1", reason="stopped"),
        "9m",
    ),
    Case(
        "HubbubPoisonChange",
        "the first one",
        one("hubbub_hub_poison_total", "0x10 1x20", pod="hub-1"),
        "5m",
        [_WARNING],
    ),
    Case(
        "HubbubPoisonChange",
        "long ago",
        one("hubbub_hub_poison_total", "1x100", pod="hub-1"),
        "24m",
    ),
    Case(
        "HubbubResync",
        "the log was deleted, and somebody stored a book",
        one("hubbub_hub_resyncs_total", "0x10 1x20", pod="hub-1", reason="recreated")
        | one("hubbub_hub_resyncs_total", "_x10 1x20", pod="hub-2", reason="too_large"),
        "5m",
        [_WARNING | {"reason": "recreated"}, _WARNING | {"reason": "too_large"}],
    ),
    Case(
        "HubbubResync",
        "what others tell of, and what was long ago",
        one("hubbub_hub_resyncs_total", "0x10 1x90", pod="hub-1", reason="history_lost")
        | one("hubbub_hub_resyncs_total", "0x10 1x90", pod="hub-1", reason="poison")
        | one("hubbub_hub_resyncs_total", "3x100", pod="hub-1", reason="recreated"),
        "24m",
    ),
    # --- streamers
    Case(
        "HubbubStreamerNearLimit",
        "one of two",
        streamers(9_000, 8_000, connection_limit="10000x40"),
        "6m",
        [_WARNING | _STREAMER_1],
    ),
    Case(
        "HubbubStreamerNearLimit",
        "84 % of it",
        streamers(8_400, connection_limit="10000x40"),
        "6m",
    ),
    Case(
        "HubbubStreamerImbalance",
        "an old one and three new ones",
        streamers(4_000, 200, 200, 200),
        "16m",
        [{"severity": "info"}],
    ),
    Case("HubbubStreamerImbalance", "so small that it is luck", streamers(40, 2, 2, 2), "16m"),
    Case("HubbubStreamerImbalance", "not even twice the mean", streamers(3000, 1200), "16m"),
    Case(
        "HubbubReconnectStorm",
        "a hundred per second after an hour of five",
        one(
            "hubbub_streamer_handshakes_total",
            "0+75x240 18000+1500x12",
            pod="streamer-1",
            outcome="ok",
        ),
        "63m",
        [_WARNING],
    ),
    Case(
        "HubbubReconnectStorm",
        "it is always like that",
        one("hubbub_streamer_handshakes_total", "0+1500x300", pod="streamer-1", outcome="ok"),
        "63m",
    ),
    Case(
        "HubbubReconnectStorm",
        "twenty per second after none",
        one("hubbub_streamer_handshakes_total", "0x240 0+300x12", pod="streamer-1", outcome="ok"),
        "63m",
    ),
    Case(
        "HubbubSlowClients",
        "three in a hundred",
        streamers(1_000, slow_clients="30x80"),
        "12m",
        [_WARNING],
    ),
    Case("HubbubSlowClients", "one in a hundred", streamers(1_000, slow_clients="10x80"), "12m"),
    Case(
        "HubbubDrainForced",
        "twelve clients, and the pod is gone since",
        one("hubbub_streamer_drain_forced_total", "0x20 12 stale", **_STREAMER_1),
        "30m",
        [_WARNING | _STREAMER_1],
    ),
    Case(
        "HubbubDrainForced",
        "a drain that ended in time",
        one("hubbub_streamer_drain_forced_total", "0x20 stale", **_STREAMER_1),
        "30m",
    ),
    Case(
        "HubbubOperatorStuck",
        "no word from the API server",
        one("hubbub_operator_watch_age_seconds", "0+15x60", pod="operator-1", kind="pools"),
        "10m",
        [_WARNING | {"kind": "pools"}],
    ),
    Case(
        "HubbubOperatorStuck",
        "a bookmark every minute",
        one("hubbub_operator_watch_age_seconds", "55x60", pod="operator-1", kind="pools"),
        "10m",
    ),
    # --- processes
    Case(
        "HubbubLoopLag",
        "two in a hundred timers a second late",
        durations("hubbub_event_loop_lag_seconds", 58, 2, "0.001", **_GATEWAY),
        "10m",
        [_WARNING | _GATEWAY],
    ),
    Case(
        "HubbubLoopLag",
        "one in two hundred",
        durations("hubbub_event_loop_lag_seconds", 199, 1, "0.001", **_GATEWAY),
        "10m",
    ),
    Case(
        "HubbubRpcErrors",
        "callers wait in vain",
        calls("0+95x50", "0+5x50"),
        "11m",
        [_CRITICAL | {"service": "account"}],
    ),
    Case(
        "HubbubRpcErrors",
        "a defect",
        answers("0+95x50", "0+5x50", "internal"),
        "11m",
        [_CRITICAL | {"service": "account", "app_kubernetes_io_component": "account"}],
    ),
    Case(
        "HubbubRpcErrors",
        "wrong passwords, and callers that went away",
        calls("0+50x50", "0+50x50", "cancelled") | answers("0+50x50", "0+50x50", "error"),
        "11m",
    ),
    Case(
        "HubbubRpcErrors",
        "two of a few calls in a quiet night",
        calls("0+1x50", "0x4 2x46"),
        "6m",
    ),
    Case(
        "HubbubCircuitOpen",
        "open, and tried every ten seconds",
        circuit("0 2 1 2 2 1 2 2 1 2 2", "0+20x40"),
        "150s",
        [_WARNING | {"service": "account", "app_kubernetes_io_component": "gateway"}],
    ),
    Case("HubbubCircuitOpen", "half-open for a moment", circuit("0 0 1 0 0x20", "0x40"), "2m"),
    Case("HubbubCircuitOpen", "open, and nobody calls", circuit("2x40", "7x40"), "9m"),
    Case(
        "HubbubNatsDisconnected",
        "for a minute",
        one("hubbub_nats_connected", "1 1 0x20", **_GATEWAY),
        "90s",
        [_CRITICAL | _GATEWAY],
    ),
    Case(
        "HubbubNatsDisconnected",
        "seen once",
        one("hubbub_nats_connected", "1 1 0 1x20", **_GATEWAY),
        "90s",
    ),
    Case(
        "HubbubNatsSlowConsumer",
        "a service",
        one("hubbub_nats_slow_consumer_total", "0x4 3x20", **_STREAMER_1),
        "3m",
        [_WARNING | _STREAMER_1],
    ),
    Case(
        "HubbubNatsSlowConsumer",
        "a server that cut somebody",
        one("gnatsd_varz_slow_consumers", "2x4 3x20", pod="nats-0", server_id="N1"),
        "3m",
        [_WARNING | {"pod": "nats-0"}],
    ),
    Case(
        "HubbubNatsSlowConsumer",
        "long ago",
        one("hubbub_nats_slow_consumer_total", "3x40", **_STREAMER_1)
        | one("gnatsd_varz_slow_consumers", "3x40", pod="nats-0", server_id="N1"),
        "9m",
    ),
    Case(
        "HubbubMongoPoolStarved",
        "two in a hundred wait",
        durations("hubbub_mongo_checkout_wait_seconds", 98, 2, "0.001", **_GATEWAY),
        "10m",
        [_WARNING | _GATEWAY],
    ),
    Case(
        "HubbubMongoPoolStarved",
        "one in two hundred",
        durations("hubbub_mongo_checkout_wait_seconds", 199, 1, "0.001", **_GATEWAY),
        "10m",
    ),
    Case(
        "HubbubVersionSkew",
        "two versions for more than an hour",
        builds("1.0", "1.0", "1.1"),
        "65m",
        [_WARNING],
    ),
    Case("HubbubVersionSkew", "a rollout", builds("1.0", "1.0", "1.1"), "30m"),
    Case("HubbubVersionSkew", "one version", builds("1.1", "1.1"), "65m"),
)
