"""Knobs of the messaging service."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings


class MessagingSettings(Settings):
    """How the messaging service works."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_MESSAGING_")

    batch: int = Field(default=64, ge=1, le=500)
    """Messages that one transaction of a room takes at most. Larger ones hold the room's
    document longer without writing more per second."""
    room_queue: int = Field(default=2048, ge=1)
    """Sends of one room that may wait; further ones are refused with 503 at once."""
    send_deadline: float = Field(default=5.0, gt=0)
    """Seconds after which a send is answered with 503 if its commit is not confirmed."""
    facts_ttl: float = Field(default=10.0, gt=0)
    """Seconds that users, rooms and rights are remembered when no event drops them earlier."""
    settings_ttl: float = Field(default=5.0, gt=0)
    """Seconds that workspace settings are remembered when no event drops them earlier."""
    effect_rooms: int = Field(default=4, ge=1, le=64)
    """Rooms whose unread counters are written at the same time. Few, since these writes share
    the database with sends, and nobody waits for them."""
    effect_queue: int = Field(default=2048, ge=1)
    """Messages of one room whose effects wait in memory; beyond, they are read again from the
    database when their turn comes."""
    effect_interval: float = Field(default=0.25, ge=0)
    """Seconds between two writes of unread counters in one room. The first comes at once; in a
    busy room many messages share the next, which would otherwise fight with the sends for the
    same memberships."""
    settle_interval: float = Field(default=1.0, gt=0)
    """Seconds between the writes that note how far counters are, for all quiet rooms at once."""
    repair_interval: float = Field(default=15.0, gt=0)
    """Seconds between searches for messages whose counters a dead process left undone."""
    repair_age: float = Field(default=10.0, gt=0)
    """Seconds without a sign of life after which another process's uncounted room is repaired.
    Longer than `settle_interval`, so that living processes are left alone."""
    chore_interval: float = Field(default=5.0, gt=0)
    """Seconds between looks for work that a dead process left undone: rooms half erased, files
    nobody was told of."""
    group_notifications: int = Field(default=500, ge=0)
    """Members up to which `@all` and `@here` cause desktop notifications. Unread marks are not
    limited; a frame per member of a huge room would be."""
    drain_timeout: float = Field(default=10.0, gt=0)
    """Seconds that a stopping process gives sends and effects under way. Keep it below the
    pod's grace period."""
    trash_days: int = Field(default=90, ge=1)
    """Days after which deleted documents are forgotten; clients that were away longer than
    this fetch everything anyway."""
    search_timeout: float = Field(default=1.0, gt=0)
    """Seconds that a search by a part of a name may take before it returns what it has not."""
