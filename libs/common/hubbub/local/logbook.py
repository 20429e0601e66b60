"""What the children say: kept in files of bounded size, and shown to whoever looks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import orjson

MAX_BYTES = 8 * 1024 * 1024
"""Size at which a log file is put aside."""
KEPT = 2
"""Files put aside per child: `account.log.1` is younger than `account.log.2`."""
MAX_LINE = 64 * 1024
"""Bytes of one line; longer ones are cut into pieces."""

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)
_LEVEL_COLOURS = {"warning": 33, "error": 31, "critical": 31}
# What every line carries, or what stands elsewhere in the shown one.
_NOT_SHOWN = frozenset({"msg", "ts", "level", "service", "instance", "version", "logger"})


class LogFile:
    """A log file that is put aside when it grows too large."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab")

    def write(self, line: bytes) -> None:
        """Append one line, which ends in a newline."""
        if self._file.tell() + len(line) > MAX_BYTES:
            self._put_aside()
        self._file.write(line)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def _put_aside(self) -> None:
        self._file.close()
        for number in range(KEPT, 0, -1):
            older = self._numbered(number)
            younger = self._numbered(number - 1) if number > 1 else self.path
            if younger.exists():
                younger.replace(older)
        self._file = self.path.open("ab")

    def _numbered(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}")


class Screen:
    """Shows lines of many children, each with the name of who said it."""

    def __init__(self, output: IO[str] | None = None) -> None:
        self._output = output or sys.stdout
        self.is_terminal = self._output.isatty()
        self._names: list[str] = []
        self._width = 0

    def introduce(self, name: str) -> None:
        """Give `name` its colour and its place."""
        if name not in self._names:
            self._names.append(name)
            self._width = max(self._width, len(name))

    def show(self, name: str, line: bytes) -> None:
        """Show one line of the child `name`: its JSON in a form for people, else as it is."""
        self.introduce(name)
        text, level = _readable(line)
        colour = _COLOURS[self._names.index(name) % len(_COLOURS)]
        shown = self._paint(text, _LEVEL_COLOURS.get(level))
        self.say(f"{self._paint(name.ljust(self._width), colour)} │ {shown}")

    def say(self, text: str) -> None:
        """Print a line of our own. A terminal that is gone does not stop anything."""
        try:
            print(text, file=self._output, flush=True)
        except OSError:
            return

    def _paint(self, text: str, colour: int | None) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.is_terminal and colour else text


def _readable(line: bytes) -> tuple[str, str]:
    """A log line for people, and its level."""
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line.decode(errors="replace").rstrip(), ""
    if not isinstance(said, dict) or "msg" not in said:
        return line.decode(errors="replace").rstrip(), ""
    level = str(said.get("level", ""))
    clock = str(said.get("ts", ""))[11:19]
    keys = " ".join(f"{key}={_short(said[key])}" for key in said if key not in _NOT_SHOWN)
    return f"{clock} {level:<7} {said['msg']} {keys}".rstrip(), level


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if len(text) <= 500 else text[:500] + "…"
