"""List every setting: its variable, its default, and what it means.

    hubbub settings streamer      only those with this word in their name

Settings are environment variables. A folder of mounted secrets, named by HUBBUB_SECRETS_DIR,
holds files with the same names in lower case.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module, metadata, util
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from hubbub.cli import output
from hubbub.local.settings import LocalSettings
from hubbub.settings import Settings, is_secret, variable_name

_COMMON_MODULES = (
    "hubbub.settings",
    "hubbub.mongo",
    "hubbub.migration.settings",
    "hubbub.bus.settings",
    "hubbub.telemetry.log",
    "hubbub.telemetry.tracing",
    "hubbub.runtime.life",
)


@dataclass(frozen=True, slots=True)
class Described:
    """One setting, for people and programs."""

    variable: str
    default: Any
    meaning: str
    group: str
    secret: bool


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("word", nargs="?", default="", help="part of a name")
    output.json_argument(parser)


def main(chosen: argparse.Namespace) -> int:
    wanted = chosen.word.upper().replace("-", "_")
    found = [one for one in describe() if wanted in one.variable]
    if chosen.json:
        print(output.as_json([asdict(one) for one in found]))
    else:
        output.table(
            ["variable", "default", "meaning"],
            [[one.variable, _shown(one.default), one.meaning] for one in found],
        )
    return 0


def describe() -> list[Described]:
    """Every setting of every installed service and of the library, sorted by variable."""
    for module in (*_COMMON_MODULES, *_service_modules()):
        import_module(module)
    found: dict[str, Described] = {}
    for group in sorted(_groups(Settings), key=lambda group: group is LocalSettings):
        for name, info in group.model_fields.items():
            variable = variable_name(group, name)
            # `hubbub up` reads some settings of others too; theirs is the meaning.
            found.setdefault(
                variable,
                Described(
                    variable=variable,
                    default=_default(info),
                    meaning=" ".join((info.description or "").split()),
                    group=group.__name__,
                    secret=is_secret(info),
                ),
            )
    return sorted(found.values(), key=lambda one: one.variable)


def _service_modules() -> Iterator[str]:
    """The `settings` module beside each service's entry point."""
    for entry in metadata.entry_points(group="hubbub.services"):
        module = f"{entry.module.rpartition('.')[0]}.settings"
        if util.find_spec(module) is not None:
            yield module


def _groups(base: type[Settings]) -> Iterator[type[Settings]]:
    for group in base.__subclasses__():
        # Groups that somebody else made, a test for instance, are not ours to describe.
        if group.__module__.split(".")[0] in {"hubbub", "services"}:
            yield group
        yield from _groups(group)


def _default(info: FieldInfo) -> Any:
    if info.is_required():
        return None
    value = info.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return None
    if is_secret(info):
        return value.get_secret_value() if value else None
    return value if isinstance(value, bool | int | float | str | list | dict) else _plain(value)


def _plain(value: Any) -> Any:
    if value is None:
        return None
    return list(value) if isinstance(value, tuple | set | frozenset) else str(value)


def _shown(value: Any) -> str:
    if value is None or value == "":
        return "-"
    return str(value)
