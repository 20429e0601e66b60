"""Writes the tables of docs/protocol.md from the code.

python docs/protocol_tables.py           put the tables into the page
python docs/protocol_tables.py --check   only say whether they are current
"""

from __future__ import annotations

import sys
from pathlib import Path

from hubbub.doors.methods import METHODS
from services.ddp_streamer.streams import STREAMS
from services.gateway.rest import application, endpoints

PAGE = Path(__file__).with_name("protocol.md")

IN_THE_STREAMER = {
    "login": "Sign in: resume token, password or its SHA-256, second factor.",
    "logout": "Sign out on this socket, which stays open.",
    "getNewToken": "Exchange the socket's token.",
    "removeOtherTokens": "Sign out everywhere but here.",
    "UserPresence:online": "This socket's user is there.",
    "UserPresence:away": "This socket's user is away.",
    "stream-notify-room": "Tell the others in a room about typing and other activity.",
}


def methods() -> str:
    """The table of DDP methods."""
    rows = {name: (row.summary, row.anonymous) for name, row in METHODS.items()}
    rows |= {name: (summary, name == "login") for name, summary in IN_THE_STREAMER.items()}
    lines = ["| method | does | without a login |", "|---|---|---|"]
    for name, (summary, anonymous) in sorted(rows.items(), key=lambda row: row[0].lower()):
        lines.append(f"| `{name}` | {summary} | {'yes' if anonymous else 'no'} |")
    return "\n".join(lines)


def streams() -> str:
    """The list of streams."""
    return ", ".join(f"`stream-{name}`" for name in sorted(STREAMS))


def rest() -> str:
    """The table of REST endpoints."""
    lines = ["| endpoint | does | login |", "|---|---|---|"]
    for row in application.describe(endpoints.table()):
        needs = (
            row["permission"]
            or {"required": "yes", "optional": "either", "anonymous": "no"}[row["access"]]
        )
        lines.append(f"| {row['method']} `{row['path']}` | {row['summary']} | {needs} |")
    return "\n".join(lines)


def written(page: str) -> str:
    """The page with its tables as the code has them now."""
    for name, text in (("methods", methods()), ("streams", streams()), ("rest", rest())):
        before, start, rest_of_page = page.partition(f"<!-- {name} -->\n")
        _, end, after = rest_of_page.partition("\n<!-- end -->")
        page = before + start + text + end + after
    return page


def main() -> int:
    """Exit status 1 when the page is not current."""
    page = PAGE.read_text()
    current = written(page)
    if "--check" in sys.argv:
        return int(page != current)
    PAGE.write_text(current)
    return 0


if __name__ == "__main__":
    sys.exit(main())
