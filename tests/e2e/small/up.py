"""`hubbub up` with tiny services: `python -m tests.e2e.small.up DATA PORT STREAMERS SERVICE…`."""

from __future__ import annotations

import sys
from pathlib import Path

from hubbub.local import supervisor
from hubbub.local.programs import CannotStart
from hubbub.local.settings import LocalSettings
from hubbub.settings import load


def main() -> int:
    data, port, streamers, *services = sys.argv[1:]
    commands = {name: [sys.executable, "-m", "tests.e2e.small.service", name] for name in services}
    options = supervisor.Options(port=int(port), streamers=int(streamers), data=Path(data))
    try:
        return supervisor.run(options, load(LocalSettings), commands)
    except CannotStart as error:
        sys.stderr.write(f"hubbub: {error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
