"""Bad input, one case a line: what is sent, and what has to come of it.

id        unique; shown when the case fails
row       the kind of bad input (see the headings in `KINDS`)
surface   `method`   called over a socket and, unless `only` says `socket`, by REST's method.call
          `sub`      a subscription on a socket
          `rest`     an HTTP call: `verb`, `path`, and `query` (raw), `body` (JSON) or `raw` (text)
          `http`     bytes on a TCP connection to the public port: `text`
as        `me` (signed in, the usual) or `nobody`
writes    the case is accepted and stores something; all others must leave the database as it was
expected  of a method: `{error: code}` or `{ok: true}`; of a sub: `{nosub: code}` or
          `{ready: true}`; over HTTP: `{status, errorType?}`; where versions of the protocol
          differ, a list of codes

Texts may hold `<room>` and other names of things that the runner makes (see `World`), and long
values are described: `{"@": {"repeat": "x", "times": 5001}}`, `{"@": {"list": 0, "times": 9}}`,
`{"@": {"nest": "key", "depth": 60}}`.

`frames.jsonl` has raw frames for the decoder, in a form of its own (see its reader in
`tests/unit/ddp_streamer/corpus.py`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent

KINDS: Final = {
    7: "numbers",
    8: "characters and names",
    9: "keys",
    10: "database operators",
    11: "EJSON",
    12: "ids",
    13: "subscriptions",
    14: "calls",
    15: "texts of messages",
    19: "upgrades",
    20: "HTTP",
    21: "messages of foreign rooms",
    22: "fields that are not the client's",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One line."""

    id: str
    row: int
    surface: str
    sent: Mapping[str, Any]
    """The rest of the line, but for what is expected."""
    expected: Mapping[str, Any]

    @property
    def writes(self) -> bool:
        return bool(self.sent.get("writes"))


def cases() -> list[Case]:
    """All lines of `calls.jsonl`. Raises: ValueError: an id stands there twice."""
    found = {}
    for line in (FOLDER / "calls.jsonl").read_text().splitlines():
        sent = json.loads(line)
        case = Case(
            id=sent.pop("id"),
            row=sent.pop("row"),
            surface=sent.pop("surface"),
            expected=sent.pop("expected"),
            sent=sent,
        )
        if case.id in found:
            raise ValueError(f"two cases are called {case.id}")
        found[case.id] = case
    return list(found.values())


def filled(value: Any, names: Mapping[str, str]) -> Any:
    """`value` with the things of a world in their places and its long parts written out."""
    match value:
        case str():
            for name, thing in names.items():
                value = value.replace(f"<{name}>", thing)
            return value
        case {"@": {"repeat": str(text), "times": int(times)}}:
            return filled(text, names) * times
        case {"@": {"list": item, "times": int(times)}}:
            return [filled(item, names)] * times
        case {"@": {"nest": str(key), "depth": int(depth)}}:
            nested: Any = {}
            for _ in range(depth):
                nested = {key: nested}
            return nested
        case dict():
            return {filled(key, names): filled(item, names) for key, item in value.items()}
        case list():
            return [filled(item, names) for item in value]
        case _:
            return value
