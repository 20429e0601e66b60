"""What can be seen of an app without running it: what it does, imports and plans. Pure.

Only what is written plainly is found: `app.send_message(…)`, `@app.on("message_sent")`,
`await command.reply(…)`. An app that hides what it does is stopped by the engine all the same.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from hubbub.apps.cron import WrongCron, next_of
from hubbub.apps.permissions import CALLS, EVENTS

_DONE: Final = {
    **{name: CALLS[name] for name in CALLS if not name.startswith("store_")},
    "store": "store",
    "job": "schedule",
    "every": "schedule",
    "before_message": "message.hook",
    "command": "command",
    "endpoint": "endpoint",
}
"""Attribute of `app` → the permission that it needs."""

_ANY_DAY: Final = datetime(2030, 1, 1, tzinfo=UTC)

_OURS: Final = "hubbub.apps"
_NOT_FOR_APPS: Final = {"checking", "fake", "manifest", "packing", "simulator", "testing"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What one file does, each with the number of the first line where it does so."""

    permissions: dict[str, int] = field(default_factory=dict)
    problems: list[tuple[int, str]] = field(default_factory=list)


def look(text: str, package: str) -> Seen:
    """What the source of a file shows. `package` is the app's own.

    Raises: SyntaxError; ValueError: it has bytes that no source has.
    """
    seen = Seen()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Attribute(value=ast.Name(id="app"), attr=name) if name in _DONE:
                _need(seen, _DONE[name], node.lineno)
            case ast.Call(func=ast.Attribute(attr="reply")):
                _need(seen, "notify", node.lineno)
            case ast.Import(names=names):
                for alias in names:
                    _imported(seen, alias.name, package, node.lineno)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                _imported(seen, module, package, node.lineno)
                if module == _OURS:
                    for alias in names:
                        _imported(seen, f"{module}.{alias.name}", package, node.lineno)
            case _:
                pass
        if isinstance(node, ast.Call):
            _called(seen, node)
    return seen


def _called(seen: Seen, node: ast.Call) -> None:
    """Events that are heard, and times that are written down."""
    match node:
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="app"), attr="on"),
            args=[ast.Constant(value=str(event))],
        ) if event in EVENTS:
            _need(seen, EVENTS[event], node.lineno)
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id="app"), attr="every"),
            args=[ast.Constant(value=str(cron))],
        ):
            _timed(seen, cron, node.lineno)
        case ast.Call(func=ast.Attribute(value=ast.Name(id="app"), attr="schedule")):
            for keyword in node.keywords:
                if keyword.arg == "cron" and isinstance(keyword.value, ast.Constant):
                    _timed(seen, str(keyword.value.value), node.lineno)
        case _:
            pass


def _need(seen: Seen, permission: str, line: int) -> None:
    seen.permissions[permission] = min(line, seen.permissions.get(permission, line))


def _timed(seen: Seen, cron: str, line: int) -> None:
    try:
        next_of(cron, _ANY_DAY)
    except WrongCron as error:
        seen.problems.append((line, f"no time that comes: {error}"))


def _imported(seen: Seen, module: str, package: str, line: int) -> None:
    top = module.partition(".")[0]
    if module.startswith(f"{_OURS}."):
        part = module.removeprefix(f"{_OURS}.").partition(".")[0]
        if part in _NOT_FOR_APPS:
            seen.problems.append((line, f"{module} is for tests and tools, not for apps"))
        return
    if module != _OURS and top != package and top not in sys.stdlib_module_names:
        seen.problems.append(
            (line, f"{module} may not be there: an app has Python's standard library and {_OURS}")
        )
