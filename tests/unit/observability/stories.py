"""What a story of measurements is made of, and how promtool reads it.

Values are in the notation of promtool: `a+bxn` is a, a+b, …, n steps long. A step is 15 s, in
stories that take hours two minutes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

STEP: Final = "15s"
LONG_STEP: Final = "2m"
_RELEASE: Final = {"namespace": "chat", "app_kubernetes_io_instance": "hubbub"}

Labels = Mapping[str, str]
Series = dict[str, str]


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured, and whom that alarms."""

    alert: str
    story: str
    series: Series
    at: str
    fires: Sequence[Labels] = ()
    """Labels of the firing alerts, without the release's."""
    step: str = STEP


def one(metric: str, values: str, **labels: str) -> Series:
    """One series of the release."""
    chosen = {**_RELEASE, **labels}
    text = ",".join(f'{name}="{value}"' for name, value in chosen.items())
    return {f"{metric}{{{text}}}": values}


def latency(fast: int, slow: int, steps: int) -> Series:
    """Deliveries of a streamer per step: `fast` ones within 500 ms, and `slow` ones in 5 s."""
    made: Series = {}
    for le, count in (("0.5", fast), ("2.5", fast), ("5.0", fast + slow), ("+Inf", fast + slow)):
        labels = {"pod": "streamer-1", "stage": "total", "le": le}
        made |= one("hubbub_delivery_latency_seconds_bucket", f"0+{count}x{steps}", **labels)
    count_labels = {"pod": "streamer-1", "stage": "total"}
    total = f"0+{fast + slow}x{steps}"
    return made | one("hubbub_delivery_latency_seconds_count", total, **count_labels)


def durations(metric: str, quick: int, slow: int, bound: str, **labels: str) -> Series:
    """10 minutes of a histogram: `quick` values per step below `bound`, and `slow` ones in 1 s."""
    made: Series = {}
    for le, count in ((bound, quick), ("1.0", quick + slow), ("+Inf", quick + slow)):
        made |= one(f"{metric}_bucket", f"0+{count}x40", le=le, **labels)
    return made


def hubs(metric: str, of_leader: str, of_standby: str) -> Series:
    """A metric of two hubs, of which hub-1 leads."""
    return (
        one("hubbub_hub_leader", "1x400", pod="hub-1", shard="0")
        | one("hubbub_hub_leader", "0x400", pod="hub-2", shard="0")
        | one(metric, of_leader, pod="hub-1")
        | one(metric, of_standby, pod="hub-2")
    )


def streamers(*connections: int, **more: str) -> Series:
    """Streamers with so many connections each."""
    made: Series = {}
    for number, count in enumerate(connections, 1):
        made |= one("hubbub_streamer_connections", f"{count}x200", pod=f"streamer-{number}")
        for metric, values in more.items():
            made |= one(f"hubbub_streamer_{metric}", values, pod=f"streamer-{number}")
    return made


def calls(good: str, bad: str, outcome: str = "timeout") -> Series:
    """Calls of a gateway to the account service."""
    who = {"pod": "gateway-1", "app_kubernetes_io_component": "gateway", "service": "account"}
    name = "hubbub_rpc_client_requests_total"
    return one(name, good, method="login", outcome="ok", **who) | one(
        name, bad, method="login", outcome=outcome, **who
    )


def answers(good: str, bad: str, outcome: str) -> Series:
    """Calls that the account service received."""
    who = {"pod": "account-1", "app_kubernetes_io_component": "account"}
    name = "hubbub_rpc_server_requests_total"
    return one(name, good, method="login", outcome="ok", **who) | one(
        name, bad, method="login", outcome=outcome, **who
    )


def circuit(state: str, refused: str) -> Series:
    """The circuit of a gateway to the account service."""
    who = {"app_kubernetes_io_component": "gateway", "pod": "gateway-1", "service": "account"}
    return one("hubbub_rpc_circuit_state", state, **who) | calls("0+9x40", refused, "circuit_open")


def builds(*versions: str) -> Series:
    """One process of each of these versions, for two hours."""
    made: Series = {}
    for number, version in enumerate(versions):
        made |= one("hubbub_build_info", "1x480", pod=f"pod-{number}", version=version)
    return made


def as_promtool(case: Case) -> dict[str, Any]:
    """The case as `promtool test rules` reads it."""
    samples = []
    for labels in case.fires:
        # Where nothing is there at all, nothing says whose it is.
        chosen = {**_RELEASE, **labels} if labels else {"severity": "critical"}
        pairs = {"alertname": case.alert, "alertstate": "firing", **chosen}
        text = ", ".join(f'{name}="{value}"' for name, value in sorted(pairs.items()))
        samples.append({"labels": f"ALERTS{{{text}}}", "value": 1})
    return {
        "name": f"{case.alert}: {case.story}",
        "interval": case.step,
        "input_series": [{"series": name, "values": text} for name, text in case.series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}',
                "eval_time": case.at,
                "exp_samples": samples,
            }
        ],
    }
