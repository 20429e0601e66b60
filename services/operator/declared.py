"""The custom resource `HubbubApp`, and the objects that it takes packages and settings from."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import Field

from services.operator.domain.apps import Phase
from services.operator.domain.conditions import Condition
from services.operator.resources import ConditionPart, Metadata, Part

APPS = "hubbubapps"


class Holder(Part):
    """A key of a ConfigMap or Secret of the same namespace."""

    name: str
    key: str


class Source(Part):
    """Where the package is; exactly one is given."""

    config_map: Holder | None = None
    secret: Holder | None = None


class SecretRef(Part):
    name: str


class AppSpec(Part):
    """What somebody wants of an app; the defaults are those of the CRD."""

    app_id: str
    version: str | None = None
    source: Source
    enabled: bool = True
    permissions: list[str] = Field(default_factory=list)
    settings: dict[str, Any] = Field(default_factory=dict)
    settings_secret_ref: SecretRef | None = None
    egress: list[str] = Field(default_factory=list)


class AppStatus(Part):
    """What the operator knows of an app."""

    observed_generation: int | None = None
    phase: Phase | None = None
    installed_version: str | None = None
    last_error: str | None = None
    refused: str | None = None
    """Versions of the objects that were refused as they are."""
    conditions: list[ConditionPart] = Field(default_factory=list)

    def written(self) -> dict[str, Any]:
        """As it travels; what is None is not there."""
        return self.model_dump(by_alias=True, exclude_none=True)

    def plain(self) -> list[Condition]:
        """The conditions, for the rules."""
        return [one.plain() for one in self.conditions]


class AppMetadata(Metadata):
    deletion_timestamp: datetime | None = None
    finalizers: list[str] = Field(default_factory=list)


class HubbubApp(Part):
    """The custom resource."""

    metadata: AppMetadata
    spec: AppSpec
    status: AppStatus = AppStatus()

    @property
    def owner(self) -> str:
        """How the engine knows whose the app is: the name of the object, so that one that was
        restored from a copy goes on with it."""
        return f"{self.metadata.namespace}/{self.metadata.name}"


class Contents(Part):
    """A ConfigMap or a Secret."""

    metadata: Metadata
    data: dict[str, str] = Field(default_factory=dict, repr=False)
    binary_data: dict[str, str] = Field(default_factory=dict, repr=False)

    @property
    def revision(self) -> str:
        return self.metadata.resource_version


class NoPackage(Exception):
    """There is no package under the key; the text says so to people."""


@dataclass(frozen=True, slots=True)
class Package:
    """A package as its source holds it."""

    data: bytes = field(repr=False)
    revision: str

    @property
    def digest(self) -> str:
        """SHA-256, in hexadecimal digits, as the engine has it."""
        return hashlib.sha256(self.data).hexdigest()


def package_of(holder: Contents, key: str) -> Package:
    """The package under a key. Of a ConfigMap, text is base64 of it, as a Secret has it anyway.

    Raises: NoPackage.
    """
    text = holder.binary_data.get(key, holder.data.get(key))
    if text is None:
        raise NoPackage(f"{holder.metadata.name} has no key {key}")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise NoPackage(f"{key} of {holder.metadata.name} is not base64") from None
    return Package(data, holder.revision)


def settings_of(secret: Contents) -> dict[str, str]:
    """The values of a Secret, as texts. Raises: NoPackage: one of them is none."""
    found: dict[str, str] = {}
    for name, text in secret.data.items():
        try:
            found[name] = base64.b64decode(text, validate=True).decode()
        except (binascii.Error, ValueError):
            raise NoPackage(f"{name} of {secret.metadata.name} is not text") from None
    return found
