"""Settings of the bus: the connection to NATS, and policies that differ from the contract's.

A contract says how its actions are called. Who runs an installation may say otherwise:

    HUBBUB_BUS_<SERVICE>_<METHOD>_<FIELD>     for one action
    HUBBUB_BUS_<SERVICE>_<FIELD>              for every action of a service

with names in capitals and dashes as underscores, and FIELD one of TIMEOUT (seconds), ATTEMPTS,
RUNNING, WAITING. The caller reads TIMEOUT and ATTEMPTS, the callee TIMEOUT, RUNNING and WAITING;
set the same for both. Example: HUBBUB_BUS_ACCOUNT_LOGIN_RUNNING=4.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from hubbub.contracts.base import Policy
from hubbub.settings import Settings

_PREFIX = "HUBBUB_BUS_"
_MEGABYTE = 1024 * 1024
_FIELDS = ("TIMEOUT", "ATTEMPTS", "RUNNING", "WAITING")


class BusSettings(Settings):
    """How a process talks to the others."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, populate_by_name=True)

    nats_url: str = Field(default="nats://127.0.0.1:4222", validation_alias="HUBBUB_NATS_URL")
    """Addresses of NATS servers, separated by commas. User and password may stand in them."""
    nats_user: str = Field(default="", validation_alias="HUBBUB_NATS_USER")
    """User name for NATS, if the URL has none."""
    nats_password: SecretStr = Field(default=SecretStr(""), validation_alias="HUBBUB_NATS_PASSWORD")
    """Password of `nats_user`."""
    nats_keys: Path | None = Field(default=None, validation_alias="HUBBUB_NATS_KEYS")
    """Folder with the file `<service>.nk` that this process signs in to NATS with: see
    `hubbub nats-keys`. Read anew whenever the process connects."""
    nats_unprotected: bool = Field(default=False, validation_alias="HUBBUB_NATS_UNPROTECTED")
    """Whether to use a NATS server on another machine without signing in. For development only:
    whoever reaches such a server can read and forge every message."""
    nats_tls_ca: Path | None = Field(default=None, validation_alias="HUBBUB_NATS_TLS_CA")
    """File with the certificate authority that signed the servers' certificates; the system's
    authorities if not set. Only used with `tls://` addresses or servers that insist on TLS."""
    nats_reconnect_wait: float = Field(
        default=0.25, gt=0, validation_alias="HUBBUB_NATS_RECONNECT_WAIT"
    )
    """Seconds between tries to connect to the same server. Each process varies it by a fifth, so
    that not all come back in the same instant."""
    nats_ping_interval: float = Field(
        default=2.0, gt=0, validation_alias="HUBBUB_NATS_PING_INTERVAL"
    )
    """Seconds between pings; a connection that leaves two unanswered counts as lost when the
    third is due: after 6 s. A server that stands still is noticed by nothing else."""
    nats_pending_bytes: int = Field(
        default=64 * _MEGABYTE, gt=0, validation_alias="HUBBUB_NATS_PENDING_BYTES"
    )
    """Bytes that may wait to be sent while the connection is slow or away; more is refused."""
    nats_stream_replicas: int = Field(
        default=1, ge=1, le=5, validation_alias="HUBBUB_NATS_STREAM_REPLICAS"
    )
    """Copies of the streams of durable events: 1 on a single server, 3 in production."""

    slow_call: float = Field(default=0.25, gt=0)
    """Seconds after which a call is worth a line in the callee's log."""
    drain_timeout: float = Field(default=15.0, gt=0)
    """Seconds that calls in progress get to finish when the process ends. Stay below the pod's
    terminationGracePeriodSeconds (30)."""
    waiting_bytes: int = Field(default=32 * _MEGABYTE, gt=0)
    """Bytes of requests that may wait in a process for a place to run; more are refused."""
    listener_timeout: float = Field(default=30.0, gt=0)
    """Seconds that a listener may spend on one event."""
    event_pending_messages: int = Field(default=20_000, gt=0)
    """Events that may wait for one listener; more are dropped and reported as slow consumer."""
    event_pending_bytes: int = Field(default=32 * _MEGABYTE, gt=0)
    """The same limit in bytes."""
    durable_backoff: tuple[float, ...] = (1.0, 5.0, 30.0, 120.0)
    """Seconds until a durable event that failed comes again, try by try; after the last one it
    goes to the dead letters. As JSON: [1, 5, 30, 120]."""
    durable_keep: float = Field(default=7 * 86_400.0, gt=0)
    """Seconds that events for durable listeners are kept, handled or not."""
    dead_letter_keep: float = Field(default=30 * 86_400.0, gt=0)
    """Seconds that dead letters are kept for somebody to look at."""
    overrides: Mapping[str, float] = Field(
        default_factory=lambda: _named(os.environ)  # type: ignore[arg-type]  # checked below
    )
    """Policies from the environment, by their variable's name without HUBBUB_BUS_."""

    @field_validator("nats_unprotected")
    @classmethod
    def _check_protection(cls, unprotected: bool, others: ValidationInfo) -> bool:
        said = others.data
        if unprotected or said.get("nats_keys") or said.get("nats_user"):
            return unprotected
        for url in _split(said.get("nats_url", "")):
            parts = urlsplit(url if "://" in url else f"nats://{url}")
            if parts.username is None and not _is_this_machine(parts.hostname or ""):
                raise ValueError(
                    f"{parts.hostname} is another machine, and nobody signs in to its NATS, so "
                    "that whoever reaches it could read and forge every message: set "
                    "HUBBUB_NATS_KEYS (`hubbub nats-keys` makes them), or this for development"
                )
        return unprotected

    @field_validator("overrides", mode="before")
    @classmethod
    def _check_overrides(cls, values: Mapping[str, object]) -> dict[str, float]:
        return {name: _number(name, value) for name, value in values.items()}

    def policy(self, service: str, method: str, declared: Policy) -> Policy:
        """`declared` with what the installation says otherwise."""
        if not self.overrides:
            return declared
        changes: dict[str, float] = {}
        for scope in (_scope(service), f"{_scope(service)}_{_scope(method)}"):
            for field in _FIELDS:
                value = self.overrides.get(f"{scope}_{field}")
                if value is not None:
                    changes[field.lower()] = value
        return replace(
            declared,
            timeout=changes.get("timeout", declared.timeout),
            attempts=int(changes.get("attempts", declared.attempts)),
            running=int(changes.get("running", declared.running)),
            waiting=int(changes.get("waiting", declared.waiting)),
        )

    @property
    def servers(self) -> list[str]:
        """The addresses one by one."""
        return _split(self.nats_url)


def _split(urls: str) -> list[str]:
    return [url.strip() for url in urls.split(",") if url.strip()]


def _is_this_machine(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _scope(name: str) -> str:
    return name.upper().replace("-", "_")


def _named(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that override a policy."""
    own = {f"{_PREFIX}{name}".upper() for name in BusSettings.model_fields}
    return {
        name.removeprefix(_PREFIX): value
        for name, value in environment.items()
        if value
        and name.startswith(_PREFIX)
        and name.rpartition("_")[2] in _FIELDS
        and name not in own
    }


def _number(name: str, value: object) -> float:
    field = name.rpartition("_")[2]
    try:
        number = float(str(value))
    except ValueError:
        number = -1.0
    whole = field != "TIMEOUT"
    least = 0.0 if field == "WAITING" else 1.0 if whole else 0.001
    if not least <= number < 1e9 or (whole and number != int(number)):
        wanted = f"a whole number from {least:.0f}" if whole else "seconds above 0"
        raise ValueError(f"{_PREFIX}{name} must be {wanted}, not {value!r}")
    return number
