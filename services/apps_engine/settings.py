"""Settings of the apps engine."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode, SettingsConfigDict

from hubbub.settings import Settings

BoundaryName = Literal["network", "files", "processes", "memory", "disk", "privileges", "orphans"]


class AppsSettings(Settings):
    """What apps may use, and how long they are remembered."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_APPS_")

    installed: int = Field(default=50, ge=1, le=100)
    """Apps that may be installed. Each one that runs is a process of about 15 MB."""
    folder: str = ""
    """Where packages are unpacked; they are in the database, so it may be lost. A folder for
    temporary files unless it is set."""
    first_user: int = Field(default=64_100, ge=1, le=2_000_000_000)
    """The first of the numeric users that apps run as, one each; only an engine that runs as root
    has users to give."""
    require: Annotated[tuple[BoundaryName, ...], NoDecode] = ()
    """Boundaries without which no app is started, with commas, as `network,files`: no network of
    its own, no files but its own, no other processes, memory and disk within limits that the
    kernel keeps, no privileges, no life without the engine. Each start logs which of them this
    machine gives; none is required by default."""
    store_keys: int = Field(default=10_000, ge=1)
    """Values that one app may keep, of at most 64 KiB each."""
    jobs: int = Field(default=1000, ge=1, le=1000)
    """Jobs that one app may have planned."""
    events_waiting: int = Field(default=128, ge=1, le=1000)
    """Events that may wait for one app; of an app that is further behind the newest are dropped
    and counted, so that it does not hold up the others."""
    package_keep: float = Field(default=3600.0, gt=0)
    """Seconds after which a package that was brought here and not installed is forgotten."""
    allowed_networks: tuple[str, ...] = ()
    """Networks beside the open internet that outgoing webhooks and apps may send requests to, as
    `["10.1.0.0/16"]`. Whoever may make an integration or install an app reaches all of them: none
    by default."""
    log_keep: float = Field(default=7 * 86400.0, gt=0)
    """Seconds for which the lines that apps write down are kept."""

    @field_validator("require", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return [part.strip().lower() for part in value.split(",") if part.strip()]
        return value

    @field_validator("allowed_networks")
    @classmethod
    def _are_networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            try:
                ip_network(network)
            except ValueError:
                raise ValueError(
                    f"it should list networks like 10.1.0.0/16, not {network}"
                ) from None
        return networks
