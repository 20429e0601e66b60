"""The stream-hub: turns committed database changes into stream events, each exactly once.

One leader reads the change stream of the whole database, decides who is concerned, encodes each
event once for the cluster and appends it to the event log in JetStream, which republishes it to
the streamers. A standby waits for the lease. Owns the collection `hubbub_leases`; writes to no
other. Tells other services' caches what changed (`hubbub.contracts.events`), answers no calls.

    tail ──▶ knowledge (what a decision needs to know) ──▶ domain (pure) ──▶ publisher ──▶ log
                                 leadership: lease, epoch, checkpoint behind acknowledged events
"""
