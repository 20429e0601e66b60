"""What expressions may ask for: the metrics of the code, with their labels and values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Final, get_args

from hubbub.bus.metrics import ClientOutcome, Direction, ServerOutcome
from hubbub.cache import Found
from hubbub.contracts.presence import Status
from hubbub.telemetry.inventory import sample_labels
from hubbub.telemetry.metrics import FAST, UpState
from services.ddp_streamer.common import Cause
from services.ddp_streamer.metrics import STAGES
from services.ddp_streamer.positions import Missed
from services.ddp_streamer.tally import MESSAGE_TYPES, Dropped, Filtered, Recovery
from services.stream_hub.metrics import RESYNC_REASONS, TERM_ENDS
from tests.unit.observability.promql import OF_COUNTERS, OVER_RANGES, Grouping, Selector, read

TARGET: Final = frozenset(
    {
        "namespace",
        "pod",
        "app_kubernetes_io_instance",
        "app_kubernetes_io_component",
        "app_kubernetes_io_version",
    }
)
"""Labels that scraping adds: the PodMonitor of the chart and its `podTargetLabels`."""

EXTERNAL: Final[Mapping[str, frozenset[str]]] = {
    f"gnatsd_{name}": frozenset({"server_id", *labels})
    for name, labels in {
        "varz_connections": (),
        "varz_in_bytes": (),
        "varz_out_bytes": (),
        "varz_slow_consumers": (),
        "gatewayz_inbound_gateway_conn_in_bytes": ("gateway_name", "remote_gateway_name", "cid"),
        "gatewayz_outbound_gateway_conn_out_bytes": ("gateway_name", "remote_gateway_name", "cid"),
    }.items()
}
"""Of the exporter for NATS servers (`nats.exporter` of the chart): one gauge for each number of
`/varz`, and of `/gatewayz` for each connection of a gateway."""

VALUES: Final[Mapping[tuple[str, str], Callable[[], tuple[str, ...]]]] = {
    ("hubbub_authz_cache_total", "result"): lambda: get_args(Found),
    ("hubbub_authz_decisions_total", "result"): lambda: ("allowed", "denied"),
    ("hubbub_delivery_latency_seconds_bucket", "le"): lambda: tuple(str(one) for one in FAST),
    ("hubbub_delivery_latency_seconds_bucket", "stage"): lambda: STAGES,
    ("hubbub_delivery_latency_seconds_count", "stage"): lambda: STAGES,
    ("hubbub_hub_resumes_total", "outcome"): lambda: ("token", "start_after", "lost"),
    ("hubbub_hub_resyncs_total", "reason"): lambda: RESYNC_REASONS,
    ("hubbub_hub_terms_ended_total", "reason"): lambda: TERM_ENDS,
    ("hubbub_nats_bytes_total", "direction"): lambda: get_args(Direction),
    ("hubbub_nats_messages_total", "direction"): lambda: get_args(Direction),
    ("hubbub_http_requests_total", "code"): lambda: ("5..",),
    ("hubbub_mongo_pool_connections", "state"): lambda: ("in_use", "idle"),
    ("hubbub_presence_users", "status"): lambda: tuple(one.value for one in Status),
    ("hubbub_rpc_client_requests_total", "outcome"): lambda: get_args(ClientOutcome),
    ("hubbub_rpc_server_requests_total", "outcome"): lambda: get_args(ServerOutcome),
    ("hubbub_streamer_disconnects_total", "reason"): lambda: get_args(Cause),
    ("hubbub_streamer_dropped_total", "reason"): lambda: get_args(Dropped),
    ("hubbub_streamer_filtered_total", "reason"): lambda: get_args(Filtered),
    ("hubbub_streamer_handshakes_total", "outcome"): lambda: ("ok",),
    ("hubbub_streamer_messages_total", "type"): lambda: MESSAGE_TYPES,
    ("hubbub_streamer_messages_total", "direction"): lambda: get_args(Direction),
    ("hubbub_streamer_client_recoveries_total", "outcome"): lambda: (
        "recovered",
        *get_args(Missed),
    ),
    ("hubbub_streamer_recoveries_total", "outcome"): lambda: get_args(Recovery),
    ("hubbub_streamer_send_queue_bytes", "agg"): lambda: ("sum", "max"),
    ("hubbub_streamer_sessions", "auth"): lambda: ("yes", "no"),
    ("hubbub_up_state", "state"): lambda: get_args(UpState),
}
"""The values of labels that expressions choose by."""


@cache
def series() -> Mapping[str, frozenset[str]]:
    """Every name that can be asked for, with its labels, without those of `TARGET`."""
    return {**EXTERNAL, **sample_labels()}


def faults(expression: str, recorded: frozenset[str] = frozenset()) -> list[str]:
    """What in `expression` the code does not have.

    Args:
        recorded: names of recording rules that exist beside the code's metrics; they have the
            labels of `TARGET`.

    Raises: NotPromQL.
    """
    known = {**series(), **dict.fromkeys(recorded, frozenset[str]())}
    reading = read(expression)
    found = [fault for one in reading.selectors for fault in _of_selector(one, known)]
    found += [
        f"{grouping.word} ({label}): nothing in it has this label"
        for grouping in reading.groupings
        for label in grouping.labels
        if label not in _labels(grouping, known) | reading.made
    ]
    if not reading.selectors and "vector" not in expression:
        found.append("asks for nothing")
    return found


def _of_selector(one: Selector, known: Mapping[str, frozenset[str]]) -> Iterator[str]:
    if one.metric not in known:
        yield f"no metric {one.metric}"
        return
    for matcher in one.matchers:
        if matcher.label in TARGET:
            continue
        if matcher.label not in known[one.metric]:
            yield f"{one.metric} has no label {matcher.label}"
        elif one.metric not in EXTERNAL:
            allowed = VALUES.get((one.metric, matcher.label), tuple)()
            yield from (
                f"{one.metric}: {matcher.label} is never {value}"
                for value in matcher.values
                if value not in allowed
            )
    if (one.range is not None) != (one.function in OVER_RANGES):
        yield f"{one.function or 'an expression'} of {one.metric}: a range or none"
    elif one.function in OF_COUNTERS and one.metric not in EXTERNAL and not _counts(one.metric):
        yield f"{one.function} of {one.metric}, which is no counter"


def _counts(metric: str) -> bool:
    return metric.endswith(("_total", "_bucket", "_count", "_sum"))


def _labels(grouping: Grouping, known: Mapping[str, frozenset[str]]) -> frozenset[str]:
    return TARGET.union(*(known.get(metric, frozenset()) for metric in grouping.metrics))
