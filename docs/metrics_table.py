"""Writes docs/metrics.md from the code.

python docs/metrics_table.py           write the page
python docs/metrics_table.py --check   only say whether it is current
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Final

from hubbub.telemetry.inventory import EVERY_PROCESS, WITH_DATABASE, Described, described
from hubbub.telemetry.labels import BUDGET
from hubbub.telemetry.metrics import FAN, FAST, SIZE, SLOW

PAGE = Path(__file__).with_name("metrics.md")

_SETS: Final = {FAST: "FAST", SLOW: "SLOW", SIZE: "SIZE", FAN: "FAN"}
_TITLES: Final = {
    EVERY_PROCESS: "Every process",
    WITH_DATABASE: "Every process with a database",
    "front-door": "The front door of `hubbub up`",
}
_HEAD: Final = """# Metrics

Each process answers `GET /metrics` on its operations port (8081) in the formats of Prometheus and
OpenMetrics. This page is written by `python docs/metrics_table.py` from the code;
`hubbub metrics --list` prints the same.

* Names begin with `hubbub_`, units are seconds and bytes, counters end in `_total`.
* Which pod, node, namespace and component a series is from is added when it is scraped.
* Label values come from closed sets in the code: never the id of a room, user or connection, an
  address, a path or a text. One process shows {budget:,} series at most: where a set is large
  (routes, actions of services) the first ones that are used have series of their own, and the
  rest share `other`.
* Levels are read at the moment of scraping. Counters of streamers are at most half a second old.
* `hubbub_delivery_latency_seconds` follows one recipient of an event: `commit_to_hub` and
  `hub_to_streamer` are the event's way, `streamer_to_socket` lasts until the kernel has the frame
  and `total` is all of it. Above 200 events per second it is one event in sixteen. Three clocks
  take part; what comes out negative counts as 0, and in `hubbub_clock_skew_observations_total`.
* `hubbub_streamer_gaps_detected_total` counts holes in what arrived; each one ends as one of
  `hubbub_streamer_recoveries_total`: with `full` nothing was lost. `not_needed` is a suspicion
  without a hole. All other outcomes mean that clients were told to load anew.
* `hubbub_streamer_client_recoveries_total` is about clients that say where they were when they
  subscribe: `recovered` got all that they missed. The others fetch it: they had no position yet
  (`not_asked`), it is of another log (`epoch_changed`), older than the log's window (`too_old`),
  it would be too much (`too_many`), or the log did not answer in time (`failed`).

Buckets:
{buckets}
"""


def page() -> str:
    """The page as the code has it now."""
    sets = "\n".join(f"* `{name}`: {_bounds(bounds)}" for bounds, name in _SETS.items())
    parts = [_HEAD.format(budget=BUDGET, buckets=sets)]
    for service, metrics in groupby(described(), key=lambda one: one.service):
        parts.append(f"## {_TITLES.get(service, f'`{service}`')}\n\n{_table(metrics)}\n")
    return "\n".join(parts)


def _table(metrics: Iterable[Described]) -> str:
    lines = ["| name | type | labels | meaning |", "|---|---|---|---|"]
    for one in metrics:
        labels = ", ".join(f"`{label}`" for label in one.labels)
        lines.append(f"| `{one.name}` | {_type(one)} | {labels} | {one.help} |")
    return "\n".join(lines)


def _type(one: Described) -> str:
    if not one.buckets:
        return one.type
    return f"{one.type} {_SETS.get(one.buckets) or _bounds(one.buckets)}"


def _bounds(bounds: Iterable[float]) -> str:
    return " ".join(f"{bound:.12g}" for bound in bounds)


def main() -> int:
    """Exit status 1 when the page is not current."""
    current = page()
    if "--check" in sys.argv:
        return int(not PAGE.exists() or PAGE.read_text() != current)
    PAGE.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main())
