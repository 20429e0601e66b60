"""Writes docs/nats-users.md from the code.

python docs/nats_users.py           write the page
python docs/nats_users.py --check   only say whether it is current
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from hubbub.cli.nats_keys import table

PAGE = Path(__file__).with_name("nats-users.md")

_HEAD: Final = """# Who may do what on NATS

Every service is a user of NATS of its own and may do what stands here, nothing else; the reasons
are in [ADR 14](adr/0014-a-nats-user-per-service.md), the steps in [operations](operations.md#nats).
This page is written by `python docs/nats_users.py` from the code; `hubbub nats-keys --table`
prints the same, and `hubbub nats-keys FOLDER` writes it as configuration of a NATS server.

A name behind a subject is a queue group: the subject may only be subscribed to as its member.
`cli` is whoever operates the installation (`hubbub call`, `hubbub events` …).

"""


def page() -> str:
    """The page as the code has it now."""
    return _HEAD + table()


def main() -> int:
    """Write the page, or check it. Returns the exit status."""
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(page())
        return 0
    if PAGE.read_text() == page():
        return 0
    sys.stderr.write(f"{PAGE} is not current: run python docs/nats_users.py\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
