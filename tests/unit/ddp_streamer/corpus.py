"""The corpus of bad input: one JSON object a line in `tests/corpus/frames.jsonl`.

row       the row of the list of bad input it belongs to (0: the protocol's own rules)
frames    what the client sends after its `connect`, each `{opcode, text | hex, fin, rsv, mask,
          declared, count}` or `{raw: <hex of the bytes>}`. A long text is described:
          `{before, repeat, times, after}` or `{before, keys: <number of keys>, after}`
expected  `{close: code}` | `{reply: text}` | `{refused: reason}` | `{accepted: true}`
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.ddp.client_frames import client_frame

_FILE = Path(__file__).parents[2] / "corpus" / "frames.jsonl"


@dataclass(frozen=True, slots=True)
class Case:
    row: int
    name: str
    data: bytes
    expected: dict[str, Any]


def cases() -> list[Case]:
    """All lines of the corpus, frames ready to be sent."""
    found = []
    for line in _FILE.read_text().splitlines():
        entry = json.loads(line)
        data = b"".join(map(_frame, entry["frames"]))
        found.append(Case(entry["row"], entry["name"], data, entry["expected"]))
    return found


def _frame(frame: dict[str, Any]) -> bytes:
    if "raw" in frame:
        return bytes.fromhex(frame["raw"])
    one = client_frame(
        frame["opcode"],
        bytes.fromhex(frame["hex"]) if "hex" in frame else _text(frame["text"]).encode(),
        fin=frame.get("fin", True),
        rsv=frame.get("rsv", 0),
        mask=b"abcd" if frame.get("mask", True) else None,
        declared=frame.get("declared"),
    )
    return one * int(frame.get("count", 1))


def _text(text: str | dict[str, Any]) -> str:
    if isinstance(text, str):
        return text
    if "keys" in text:
        middle = ",".join(f'"{i}":0' for i in range(text["keys"]))
    else:
        middle = text["repeat"] * text["times"]
    return f"{text.get('before', '')}{middle}{text.get('after', '')}"
