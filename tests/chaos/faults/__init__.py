"""The faults of the drill, one small function each; `FAULTS` is the table of all of them."""

from tests.chaos.faults import (
    brokers,
    clients,
    databases,
    hubs,
    machines,
    pairs,
    rooms,
    services,
    streamers,
    versions,
)
from tests.chaos.faults.table import FAULTS, Fault, Scene

__all__ = [
    "FAULTS",
    "Fault",
    "Scene",
    "brokers",
    "clients",
    "databases",
    "hubs",
    "machines",
    "pairs",
    "rooms",
    "services",
    "streamers",
    "versions",
]
