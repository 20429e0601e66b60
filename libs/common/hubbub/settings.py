"""Settings: read once from the environment, validated, frozen, passed down.

A group of settings is a subclass of `Settings` with its own `env_prefix`. The text under each
field says meaning, unit and the reason for the default; `hubbub settings` prints all of them.

    class PresenceSettings(Settings):
        model_config = SettingsConfigDict(env_prefix="HUBBUB_PRESENCE_")

        session_ttl: float = Field(default=300.0, gt=0)
        '''Seconds without a heartbeat after which a session is forgotten.'''
"""

from __future__ import annotations

import os
import re
from typing import Any, TypeVar

from pydantic import AnyHttpUrl, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

SECRETS_DIR_VARIABLE = "HUBBUB_SECRETS_DIR"
"""Names a folder of mounted secrets: a file `hubbub_admin_password` there is read like the
variable `HUBBUB_ADMIN_PASSWORD`. The variable wins."""

_SHOWN_LENGTH = 80  # characters of a wrong value that an error repeats


class Settings(BaseSettings):
    """Base of every group of settings.

    An empty variable counts as not set, so that a chart can leave a value blank.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_ignore_empty=True,
        use_attribute_docstrings=True,
        validate_default=True,
    )


class SiteSettings(Settings):
    """What every service may know about the installation as a whole."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_")

    root_url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:3000")
    """Address under which people reach this installation; links in answers start with it."""


class WrongSettings(Exception):
    """A setting has a value that is not allowed. The text has one line per wrong variable."""


S = TypeVar("S", bound=Settings)


def load(group: type[S]) -> S:
    """Read one group from the environment, and from the folder of secrets when one is named.

    Raises:
        WrongSettings: a value is missing or not allowed. Whoever started the process
            (`hubbub.runtime`, the command line) prints it and exits with status 2.
    """
    try:
        return group(_secrets_dir=os.environ.get(SECRETS_DIR_VARIABLE) or None)
    except ValidationError as error:
        lines = [_line(group, problem) for problem in error.errors(include_url=False)]
        raise WrongSettings("\n".join(lines)) from None
    except SettingsError as error:
        raise WrongSettings(_not_json(group, error)) from None


def variable_name(group: type[Settings], field: str) -> str:
    """The environment variable that sets `field` of `group`."""
    info = group.model_fields.get(field)
    alias = info.validation_alias if info is not None else None
    if isinstance(alias, str):
        return alias.upper()
    prefix = group.model_config.get("env_prefix", "")
    return f"{prefix}{field}".upper()


def is_secret(info: FieldInfo) -> bool:
    """Whether a field's value must never be shown."""
    return any(secret in _parts(info.annotation) for secret in (SecretStr, SecretBytes))


def _parts(annotation: Any) -> set[Any]:
    found = {annotation}
    for part in getattr(annotation, "__args__", ()):
        found |= _parts(part)
    return found


def _line(group: type[Settings], problem: Any) -> str:
    field, *inside = problem["loc"] or ("",)
    name = _variable_of(group, str(field))
    info = _field_of(group, str(field))
    wanted = problem["msg"][:1].lower() + problem["msg"][1:]
    where = f" at {'.'.join(map(str, inside))}" if inside else ""
    if problem["type"] == "missing":
        return f"{name}: not set, but it is needed"
    if info is not None and is_secret(info):
        return f"{name}{where}: {wanted} (the value is secret and not shown)"
    found = repr(problem["input"])
    if len(found) > _SHOWN_LENGTH:
        found = found[:_SHOWN_LENGTH] + "…"
    return f"{name}{where}: {wanted}; found {found}"


def _not_json(group: type[Settings], error: SettingsError) -> str:
    """What pydantic-settings says of a list or mapping that is not written as JSON."""
    named = re.search(r'field "(\w+)"', str(error))
    if named is None:
        return f"{group.__name__}: {error}"
    name = _variable_of(group, named[1])
    info = _field_of(group, named[1])
    shown = "" if info is not None and is_secret(info) else f"; found {os.environ.get(name)!r}"
    return f"{name}: should be written as JSON{shown}"


def _field_of(group: type[Settings], location: str) -> FieldInfo | None:
    """The field that an error speaks of: by its name, or by its alias."""
    if location in group.model_fields:
        return group.model_fields[location]
    for info in group.model_fields.values():
        if isinstance(info.validation_alias, str) and info.validation_alias == location:
            return info
    return None


def _variable_of(group: type[Settings], location: str) -> str:
    if location in group.model_fields:
        return variable_name(group, location)
    return location.upper() or group.__name__
