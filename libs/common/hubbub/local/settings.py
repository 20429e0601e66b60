"""What `hubbub up` reads from the environment, beside what it passes on to the services."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings


class LocalSettings(Settings):
    """A whole Hubbub on one machine."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_")

    data: Path = Path(".hubbub")
    """Folder of the data, logs and first password of `hubbub up`."""
    mongo_url: SecretStr | None = None
    """A running MongoDB replica set. Without it `hubbub up` starts its own."""
    nats_url: SecretStr | None = None
    """A running NATS server with JetStream. Without it `hubbub up` starts its own."""
    root_url: str = ""
    """Address under which people reach this installation; the front door's own if not set."""
    admin_username: str = "admin"
    """User name of the first administrator, made when there is none."""
    admin_password: SecretStr | None = None
    """Password of the first administrator. Without it `hubbub up` makes one and keeps it."""
    admin_email: str = "admin@example.com"
    """Address of the first administrator."""
