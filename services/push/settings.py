"""Settings of the push service."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings


class PushSettings(Settings):
    """How many devices are remembered."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_PUSH_")

    devices_per_user: int = Field(default=50, ge=1, le=100)
    """Devices of one user that are remembered; the one registered longest ago goes first. Apps
    that are installed again leave their old registration behind."""
