"""What Hubbub wants to reach, as data. A target that turns out wrong is changed in the open, with
the measurement, by a decision in docs/adr/.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.figures import Figure, number


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on one figure."""

    figure: str
    """Name of the figure in the results."""
    what: str
    sense: Literal["at most", "at least"]
    limit: float
    unit: str
    how: str
    """How it is measured, in a few words."""
    short: str = ""
    """What the short run makes smaller, if it makes the figure mean something else."""

    def met(self, value: float) -> bool:
        """Whether `value` reaches it."""
        return value <= self.limit if self.sense == "at most" else value >= self.limit

    @property
    def bound(self) -> str:
        """The bound as people write it."""
        sign = "≤" if self.sense == "at most" else "≥"
        return f"{sign} {number(self.limit)} {self.unit}"


TARGETS = (
    Target(
        "fanout.hubbub_to_send_loop",
        "fan-out CPU, beside a C loop of send()",
        "at most", 1.15, "×",
        "streamer's CPU per frame, 600-byte event to 1,000 signed-in sockets through NATS",
    ),
    Target(
        "fanout.hubbub_to_node_ws",
        "fan-out CPU, beside Node ws, frame built once",
        "at most", 0.85, "×",
        "the same bytes at the same pace, in turn",
    ),
    Target(
        "fanout.burst_to_single",
        "fan-out CPU in bursts",
        "at most", 0.35, "×",
        "20 events within 5 ms, beside single events",
    ),
    Target(
        "memory.bare",
        "memory of a bare connection",
        "at most", 4, "KiB",
        "growth of RSS from 10 to 8,000 WebSockets",
    ),
    Target(
        "memory.working",
        "memory of a working connection",
        "at most", 12, "KiB",
        "growth of RSS: signed in, 20 subscriptions, 10 rooms, a user of its own",
        "fewer connections",
    ),
    Target(
        "subscriptions.to_audiences",
        "NATS subscriptions of a streamer",
        "at most", 1, "×",
        "all its subscriptions over users + open rooms + 2",
        "fewer connections",
    ),
    Target(
        "rpc.c1.calls_to_moleculer",
        "RPC beside Moleculer, 1 at a time",
        "at least", 1.0, "×",
        "calls/s over NATS, arguments validated on both sides",
    ),
    Target(
        "rpc.c32.calls_to_moleculer",
        "RPC beside Moleculer, 32 at once",
        "at least", 1.0, "×",
        "the same",
    ),
    Target(
        "rpc.c256.calls_to_moleculer",
        "RPC beside Moleculer, 256 at once",
        "at least", 0.9, "×",
        "the same",
    ),
    Target(
        "rpc.c1.p99_to_moleculer",
        "RPC p99 beside Moleculer, 1 at a time",
        "at most", 1.0, "×",
        "the same",
    ),
    Target(
        "rpc.c32.p99_to_moleculer",
        "RPC p99 beside Moleculer, 32 at once",
        "at most", 1.0, "×",
        "the same",
    ),
    Target(
        "rpc.c256.p99_to_moleculer",
        "RPC p99 beside Moleculer, 256 at once",
        "at most", 1.1, "×",
        "the same",
    ),
    Target(
        "rpc.hubbub_local.calls",
        "RPC in one process",
        "at least", 100_000, "per s",
        "with coding and validation, one after another",
    ),
    Target(
        "hub.backlog.rate",
        "hub",
        "at least", 10_000, "per s",
        "change stream to JetStream acknowledgement, one process, a backlog",
    ),
    Target(
        "hub.paced.p99",
        "hub, added latency p99 at 5,000 changes/s",
        "at most", 10, "ms",
        "change read to event acknowledged; the writer beside it",
    ),
    Target(
        "funnel.5000_members_plain.p99",
        "send to a room of 5,000 members, p99",
        "at most", 50, "ms",
        "stored with majority and journal; ten messages a second, counters of all members follow",
    ),
    Target(
        "funnel.5000_members_all.p99",
        "the same, @all",
        "at most", 50, "ms",
        "one message a second that mentions everybody",
    ),
    Target(
        "send_to_receive.p99",
        "send to receive p99",
        "at most", 50, "ms",
        "sendMessage to the members' `changed`, 4,000 users, 200 messages/s, rooms of 50",
        "fewer users, fewer messages",
    ),
    Target(
        "headline.memory",
        "memory of all services",
        "at most", 1024, "MiB",
        "RSS with 4,000 users signed in, 20 subscriptions each",
        "fewer users",
    ),
    Target(
        "headline.cpu",
        "CPU of all services",
        "at most", 1.0, "cores",
        "while 200 messages/s go to 50 members each",
        "fewer users, fewer messages",
    ),
    Target(
        "storm.seconds",
        "login storm",
        "at most", 10, "s",
        "4,000 users resume with tokens at once, through the front door",
        "fewer users",
    ),
    Target(
        "storm.p99_growth",
        "send to receive p99 beside a login storm",
        "at most", 2.0, "×",
        "as many users log in again while messages flow",
        "fewer users",
    ),
    Target(
        "apps.none.added_p50",
        "added to a message by apps that there are none of",
        "at most", 0.1, "ms",
        "send to receive, median; beside a Hubbub without the apps engine, in turn",
    ),
    Target(
        "apps.hook.added_p99",
        "added to a message by an app that judges it, p99",
        "at most", 10, "ms",
        "the same, with an app that is asked before each message",
    ),
    Target(
        "attacks.worst_p99_growth",
        "send to receive p99 beside an app that does harm",
        "at most", 2.0, "×",
        "the worst of 16 attacks, once it was noticed; beside the seconds before and after it",
    ),
    Target(
        "startup",
        "start-up",
        "at most", 8, "s",
        "`hubbub up` on an empty folder to ready, MongoDB's and NATS's start included",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judged:
    """A target beside what was measured."""

    target: Target
    figure: Figure | None

    @property
    def verdict(self) -> str:
        """`met`, `missed` or `not measured`."""
        if self.figure is None:
            return "not measured"
        return "met" if self.target.met(self.figure.value) else "missed"


def judge(figures: Mapping[str, Figure]) -> list[Judged]:
    """Every target, with its figure if there is one."""
    return [Judged(target, figures.get(target.figure)) for target in TARGETS]
