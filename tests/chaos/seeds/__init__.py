"""Seeds under which a promise was broken once. They are run again for ever."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

_FOLDER = Path(__file__).parent
_TOLD = 5  # violations that are kept with a seed


def stored(fault: str) -> list[int]:
    """The seeds of a fault."""
    return sorted(json.loads(path.read_text())["seed"] for path in _FOLDER.glob(f"{fault}-*.json"))


def store(fault: str, seed: int, violations: Sequence[str]) -> None:
    """Keep a seed and what went wrong."""
    kept = {"fault": fault, "seed": seed, "violations": list(violations[:_TOLD])}
    (_FOLDER / f"{fault}-{seed}.json").write_text(json.dumps(kept, indent=1) + "\n")
