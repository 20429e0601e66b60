"""Who makes indexes."""

from __future__ import annotations

from typing import Literal

from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings


class SchemaSettings(Settings):
    """What a service does about the database's schema when it starts."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_SCHEMA_")

    at_start: Literal["make", "wait"] = "make"
    """`make`: the service makes the indexes that it lacks, which on a large collection takes
    long and loads the database at the moment of an upgrade. `wait`: it is not started until
    `hubbub migrate expand` of its version, or of a later one, has made them."""
