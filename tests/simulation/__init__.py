"""Hubs, the event log, and streamers in one process, on a clock that jumps and under every fault.

The production classes run unchanged: the hub's leadership, take-over, publisher and watermarks,
the funnel of messaging, and the streamers' audiences with chain and continuity. Around them the
network, JetStream and the database are models in memory, and a seeded scheduler decides who runs
next, what is lost, what comes late, and who is frozen or killed at which await.

    python -m tests.simulation --seeds 2000 --from 0     # many
    python -m tests.simulation --seed 4711 --story       # exactly one, with all that happened
"""
