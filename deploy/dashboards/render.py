"""Write the dashboards of the chart.

python deploy/dashboards/render.py            writes deploy/helm/hubbub/files/dashboards
python deploy/dashboards/render.py --check    says what is not current; exit status 1
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy.dashboards import capacity, gateway, hub, overview, services, streamers

FOLDER: Final = Path(__file__).resolve().parents[1] / "helm" / "hubbub" / "files" / "dashboards"
DASHBOARDS: Final = (
    overview.DASHBOARD,
    streamers.DASHBOARD,
    hub.DASHBOARD,
    services.DASHBOARD,
    gateway.DASHBOARD,
    capacity.DASHBOARD,
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write the chart's dashboards.")
    parser.add_argument("--check", action="store_true", help="write nothing, say what differs")
    chosen = parser.parse_args(arguments)
    wanted = files()
    differing = [
        path
        for path in sorted({*wanted, *FOLDER.glob("*.json")})
        if path not in wanted or not path.exists() or path.read_text() != wanted[path]
    ]
    for path in differing:
        if chosen.check:
            print(
                f"not current: {path.name}; run `python deploy/dashboards/render.py`",
                file=sys.stderr,
            )
        elif path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return 1 if chosen.check and differing else 0


def files() -> dict[Path, str]:
    """Every file, with what belongs into it."""
    return {
        FOLDER / f"{one.name}.json": json.dumps(one.json(), indent=1, ensure_ascii=False) + "\n"
        for one in DASHBOARDS
    }


if __name__ == "__main__":
    sys.exit(main())
