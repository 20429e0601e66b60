"""Settings of the apps engine."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings


class AppsSettings(Settings):
    """What apps may use, and how long they are remembered."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_APPS_")

    installed: int = Field(default=50, ge=1, le=100)
    """Apps that may be installed. Each one that runs is a process of about 15 MB."""
    package_keep: float = Field(default=3600.0, gt=0)
    """Seconds after which a package that was brought here and not installed is forgotten."""
    log_keep: float = Field(default=7 * 86400.0, gt=0)
    """Seconds for which the lines that apps write down are kept."""
