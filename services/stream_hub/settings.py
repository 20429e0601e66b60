"""Settings of the stream-hub."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings


class StreamHubSettings(Settings):
    """How the hub leads, reads and publishes."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_STREAM_HUB_")

    lease_ttl: float = Field(default=4.0, ge=1, le=60)
    """Seconds until the lease of a hub that died may be taken. The pause of delivery after a
    crash is this, plus what the standby needs to notice and to resume."""
    lease_renew: float = Field(default=1.0, gt=0, le=20)
    """Seconds between renewals. A third of `lease_ttl` or less, so that one may fail."""
    lease_fence: float = Field(default=3.0, gt=0, le=60)
    """Seconds after the last successful renewal was sent until a hub stops by itself. Below
    `lease_ttl`: it must have stopped before another may begin."""
    lease_retry: float = Field(default=0.5, gt=0, le=10)
    """Seconds between a standby's looks at the lease, give or take a fifth."""

    window: int = Field(default=500, ge=1, le=10_000)
    """Events published and not yet acknowledged. It bounds what a successor has to compare."""
    acknowledge_timeout: float = Field(default=2.0, gt=0, le=30)
    """Seconds until an acknowledgement that does not come counts as lost."""
    log_silence: float = Field(default=2.0, gt=0, le=600)
    """Seconds in which NATS answers nothing at all until a hub that has something to publish
    gives its lease back: another hub may reach it."""
    log_patience: float = Field(default=30.0, ge=1, le=3600)
    """Seconds in which the log takes nothing though NATS answers, until it is given up: deleted,
    made anew, and clients told to load anew. It is a cache; a stream that is stuck can stay so."""
    checkpoint_interval: float = Field(default=0.25, gt=0, le=10)
    """Seconds between two saved checkpoints while events flow."""

    batch: int = Field(default=1000, ge=1, le=10_000)
    """Changes that the database sends in one answer at most."""
    buffer: int = Field(default=2000, ge=1, le=100_000)
    """Changes read and not yet decided; more stay with the database."""
    read_timeout: float = Field(default=5.0, ge=1, le=60)
    """Seconds without any answer of the database, an empty one included, until the change
    stream is opened again; each try that failed doubles them."""
    room_cache: int = Field(default=50_000, ge=100)
    """Rooms whose type and name are remembered (about 0.4 KB each)."""

    log_max_age: float = Field(default=600.0, ge=1)
    """Seconds that events stay in the log: how long a client may be away and still get exactly
    what it missed."""
    log_max_bytes: int = Field(default=1024**3, ge=1024**2)
    """Bytes that the log may take on each NATS server; the oldest events go first."""
    log_replicas: int = Field(default=1, ge=1, le=5)
    """Copies of the log: 1 on a single NATS server, 3 in production."""
    log_api_timeout: float = Field(default=2.0, gt=0, le=30)
    """Seconds to wait for an answer of JetStream's administration."""

    watermark_interval: float = Field(default=1.0, gt=0, le=60)
    """Seconds between watermarks while events flow. Streamers notice a lost tail this fast."""
    watermark_idle: float = Field(default=5.0, gt=0, le=60)
    """Seconds between watermarks while nothing happens."""

    recent_events: int = Field(default=50_000, ge=1, le=1_000_000)
    """Events about messages that are remembered for `hubbub explain`: ids and moments (about
    0.25 KB each)."""
