"""What an app says of itself: `app.toml` beside its Python package. Pure but for `read`.

    id = "reminders"
    name = "Reminders"
    version = "1.0.0"
    description = "Reminds you of what you ask it to."
    permissions = ["command", "message.send", "notify", "schedule", "store"]

    [commands.remind]
    description = "Remind me later"
    params = "10m the oven"

    [settings.greeting]
    type = "string"
    default = "Time for:"

Everything is checked before anything is kept, and an unknown word is an error: a permission that
is spelled wrongly must not look like one that was not asked for.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from hubbub.apps.permissions import PERMISSIONS

FILE: Final = "app.toml"
"""The manifest's name in the folder of an app."""

LARGEST: Final = 64 * 1024
"""Bytes of a manifest."""

LONGEST_VALUE: Final = 16 * 1024
"""Characters of a setting's value."""

MEMORY: Final = 256
"""Megabytes an app may use, and gets unless its manifest asks for less."""

SettingValue = str | bool | int | float | None

AppId = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,38}[a-z0-9]$")]
"""3 to 40 lower-case letters, digits and dashes. Also the first part of its bot's username."""

_VERSION = r"^(0|[1-9][0-9]{0,5})(\.(0|[1-9][0-9]{0,5})){2}$"
_HOST = re.compile(
    r"(?=.{1,253}(:|$))[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    r"(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*:([1-9][0-9]{0,4})"
)
_PATH = re.compile(r"/[A-Za-z0-9._~/-]{0,199}")
_DECLARED = r"^[a-z][a-z0-9_-]{0,31}$"
_SETTING = r"^[a-z][a-z0-9_]{0,63}$"
_TAKEN: Final = sys.stdlib_module_names | {"hubbub", "services", "tests"}
_LARGEST_PORT: Final = 65535

Line = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
DeclaredName = Annotated[str, StringConstraints(pattern=_DECLARED)]
SettingName = Annotated[str, StringConstraints(pattern=_SETTING)]


class WrongManifest(ValueError):
    """The manifest is wrong; `problems` has a line for everything that is."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class WrongSettings(ValueError):
    """Values do not fit the settings of an app; `problems` has setting → what is wrong."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("\n".join(f"{name}: {problem}" for name, problem in problems.items()))
        self.problems = problems


class _Declared(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Setting(_Declared):
    """A value that an administrator gives to the app."""

    type: Literal["string", "number", "boolean", "secret", "select"]
    """A secret is stored and given to the app like a string and shown to nobody."""
    default: SettingValue = None
    label: Line = ""
    required: bool = False
    """Without a value the app cannot be enabled."""
    options: list[Line] = Field(default=[], max_length=100)
    """What a `select` can be."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.type == "select") != bool(self.options):
            raise ValueError("a select has options, and nothing else has")
        if self.type == "secret" and self.default is not None:
            raise ValueError("a secret has no default: everyone can read the manifest")
        if self.default is not None and (problem := self.problem(self.default)):
            raise ValueError(f"default: {problem}")
        return self

    def problem(self, value: object) -> str | None:
        """What is wrong with a value, or None."""
        match self.type:
            case "number":
                fits = isinstance(value, int | float) and not isinstance(value, bool)
                # Finite, and no number that a float cannot hold: JSON would not carry it.
                return None if fits and abs(value) < 1e300 else "not a number"  # type: ignore[arg-type]
            case "boolean":
                return None if isinstance(value, bool) else "not true or false"
            case "select":
                return None if value in self.options else f"not one of {', '.join(self.options)}"
            case "string" | "secret":
                if not isinstance(value, str):
                    return "not a text"
                return None if len(value) <= LONGEST_VALUE else f"longer than {LONGEST_VALUE}"


class Command(_Declared):
    """A slash command; its name is the key."""

    description: Line = ""
    params: Line = ""
    """An example of what follows the name, shown while typing."""
    permission: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,63}$")] | None = None
    """A permission of the workspace that its user needs; Hubbub checks it, not the app."""


class Endpoint(_Declared):
    """Where the app answers HTTP, below `/api/apps/public/<id>`; its name is the key."""

    path: str
    methods: list[Literal["GET", "POST", "PUT", "PATCH", "DELETE"]] = Field(
        default=["POST"], min_length=1
    )

    @field_validator("path")
    @classmethod
    def _is_path(cls, path: str) -> str:
        if not _PATH.fullmatch(path) or "//" in path or {".", ".."} & set(path.split("/")):
            raise ValueError("a path begins with / and has letters, digits and . _ ~ - only")
        return path


class Limits(_Declared):
    """Less than an app gets otherwise."""

    memory_megabytes: int = Field(default=MEMORY, ge=32, le=MEMORY)


class Manifest(_Declared):
    """What an app is, and everything it may ask for."""

    id: AppId
    name: Annotated[Line, Field(min_length=1, max_length=80)]
    version: Annotated[str, StringConstraints(pattern=_VERSION)]
    """Three numbers with dots."""
    description: Line = ""
    package: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")] = ""
    """The Python package beside the manifest; the id with _ for - unless said otherwise."""
    hubbub: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,5}(\.[0-9]{1,5}){0,2}$")] = "0.1"
    """The oldest version of Hubbub that it runs on."""
    permissions: list[str] = []
    hosts: list[str] = Field(default=[], max_length=50)
    """What `fetch` can reach, as `name:port`. Needs the permission `network`."""
    settings: dict[SettingName, Setting] = Field(default={}, max_length=100)
    commands: dict[DeclaredName, Command] = Field(default={}, max_length=50)
    endpoints: dict[DeclaredName, Endpoint] = Field(default={}, max_length=50)
    limits: Limits = Limits()

    @field_validator("permissions")
    @classmethod
    def _are_permissions(cls, permissions: list[str]) -> list[str]:
        if unknown := sorted(set(permissions) - set(PERMISSIONS)):
            raise ValueError(
                f"there is no {', '.join(unknown)}; there are {', '.join(PERMISSIONS)}"
            )
        if len(set(permissions)) != len(permissions):
            raise ValueError("one is named twice")
        return permissions

    @field_validator("hosts")
    @classmethod
    def _are_hosts(cls, hosts: list[str]) -> list[str]:
        for host in hosts:
            found = _HOST.fullmatch(host)
            if not found or int(host.rpartition(":")[2]) > _LARGEST_PORT:
                raise ValueError(
                    f"{host!r} is not a name in small letters and a port, as in a.org:443"
                )
        return hosts

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        needed = {
            "command": bool(self.commands),
            "endpoint": bool(self.endpoints),
            "network": bool(self.hosts),
        }
        for permission, used in needed.items():
            if used and permission not in self.permissions:
                raise ValueError(f"needs the permission {permission!r} for what it declares")
        if "room.read-all" in self.permissions and not (
            {"message.read", "message.hook", "room.read"} & set(self.permissions)
        ):
            raise ValueError(
                "'room.read-all' widens 'message.read', 'message.hook' or 'room.read', and has none"
            )
        paths = [endpoint.path for endpoint in self.endpoints.values()]
        if len(set(paths)) != len(paths):
            raise ValueError("two endpoints have one path")
        if self.package_name in _TAKEN:
            raise ValueError(f"the package cannot be called {self.package_name!r}: Python has it")
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """The manifest that a text is.

        Raises: WrongManifest: with all that is wrong.
        """
        if len(text) > LARGEST:
            raise WrongManifest([f"longer than {LARGEST} bytes"])
        try:
            return cls.model_validate(tomllib.loads(text))
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise WrongManifest([f"not TOML: {error}"]) from error
        except ValidationError as error:
            raise WrongManifest([_line(problem) for problem in error.errors()]) from error

    @property
    def package_name(self) -> str:
        """The Python package to import."""
        return self.package or self.id.replace("-", "_")

    def runs_on(self, version: str) -> bool:
        """Whether a version of Hubbub (`0.1.0`, `0.2.0.dev3`) is not older than it needs."""
        return _numbers(version) >= _numbers(self.hubbub)

    def effective(self, given: Mapping[str, object]) -> dict[str, SettingValue]:
        """The value of every setting: what was given, else the default, else None.

        Raises: WrongSettings: unknown, of another type, or required and without a value.
        """
        problems = {name: "there is no such setting" for name in given if name not in self.settings}
        values: dict[str, Any] = {}
        for name, setting in self.settings.items():
            value = given.get(name)
            value = setting.default if value is None else value
            values[name] = value
            if value is None or value == "":
                if setting.required:
                    problems[name] = "a value is required"
            elif problem := setting.problem(value):
                problems[name] = problem
        if problems:
            raise WrongSettings(problems)
        return values

    def start(self, settings: Mapping[str, SettingValue]) -> dict[str, Any]:
        """The args of the call `start`; `settings` are effective ones."""
        return {
            "app": self.id,
            "version": self.version,
            "permissions": list(self.permissions),
            "commands": list(self.commands),
            "endpoints": list(self.endpoints),
            "settings": dict(settings),
        }


def read(folder: Path) -> Manifest:
    """The manifest of the app in a folder.

    Raises: WrongManifest: there is none, or it is wrong.
    """
    path = folder / FILE
    try:
        if path.stat().st_size > LARGEST:
            raise WrongManifest([f"{FILE} is larger than {LARGEST} bytes"])
        return Manifest.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongManifest([f"{FILE} cannot be read: {error.strerror}"]) from error
    except UnicodeDecodeError as error:
        raise WrongManifest([f"{FILE} is not UTF-8"]) from error


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+){0,2}", version)
    numbers = [int(part) for part in found[0].split(".")] if found else []
    return tuple((*numbers, 0, 0, 0)[:3])


def _line(problem: Any) -> str:
    """One problem that pydantic found, as `settings.color.type: …`."""
    where = ".".join(str(part) for part in problem["loc"])
    what = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {what}" if where else what
