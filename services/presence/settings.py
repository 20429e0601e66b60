"""Settings of the presence service."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings


class PresenceSettings(Settings):
    """How quickly somebody appears and disappears."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_PRESENCE_", populate_by_name=True)

    offline_grace: float = Field(default=10.0, ge=0)
    """Seconds that somebody whose last connection ended still appears as before. A roll-out or a
    short loss of the network then causes no announcement at all."""
    announce_pause: float = Field(default=1.0, ge=0)
    """Least seconds between two announcements of one user; what happens between is merged."""
    instance_lease: float = Field(default=15.0, gt=0)
    """Seconds without a sign of life after which a streamer counts as gone. Streamers give one
    every 5 s."""
    instance_replicas: int = Field(
        default=1, ge=1, le=5, validation_alias="HUBBUB_NATS_STREAM_REPLICAS"
    )
    """Copies of the bucket in which streamers show that they are alive. With one of them on a
    NATS server that is gone, nobody could tell which streamers are."""
    observation: float = Field(default=20.0, ge=0)
    """Seconds after a start, or after NATS was away, in which nobody is declared offline because
    of a silent streamer. Above `instance_lease`."""
    reconcile_interval: float = Field(default=120.0, gt=0)
    """Seconds between two requests that all streamers announce their connections, which repairs
    whatever got lost."""
    stale_after: float = Field(default=300.0, gt=0)
    """Seconds after which a connection that nobody announces any more is removed. More than two
    `reconcile_interval`."""
    poll_interval: float = Field(default=0.25, gt=0)
    """Seconds between two looks for users whose status is due. Changes that this replica made
    itself are seen at once."""
    batch: int = Field(default=500, ge=1, le=5000)
    """Users that are settled together, and changes of connections written together."""
    waiting_changes: int = Field(default=50_000, ge=1)
    """Changes of connections that may wait to be written; further ones are refused as
    unavailable, and streamers repeat them."""
    survey_interval: float = Field(default=60.0, gt=0)
    """Seconds between two counts of users and connections for the metrics."""
