"""Writes the tables of docs/protocol.md from the code.

python docs/protocol_tables.py           put the tables into the page
python docs/protocol_tables.py --check   only say whether they are current
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

from hubbub.doors import out_of_scope
from hubbub.doors.methods import METHODS
from hubbub.errors import HubbubError
from services.ddp_streamer.streams import MY_MESSAGES_EVENT, STREAMS, Plan, Who, plan
from services.gateway.rest import application, endpoints

PAGE = Path(__file__).with_name("protocol.md")

IN_THE_STREAMER: Final = {
    "login": "Sign in: resume token, password or its SHA-256, second factor.",
    "logout": "Sign out on this socket, which stays open.",
    "getNewToken": "Exchange the socket's token.",
    "removeOtherTokens": "Sign out everywhere but here.",
    "logoutOtherClients": "A new token for this socket; all others end ten seconds later.",
    "UserPresence:online": "This socket's user is there.",
    "UserPresence:away": "This socket's user is away.",
    "UserPresence:connect": "Nothing; clients of long ago call it.",
    "UserPresence:ping": "Nothing; clients of long ago call it.",
    "livechat:setUpConnection": "Nothing; a widget that is not offered here calls it.",
    "stream-notify-room": "Tell the others in a room about typing and other activity.",
    "stream-notify-room-users": "Pass a message to every other member of a room.",
    "stream-notify-user": "Pass a message to one other user.",
}
"""Methods that need the socket they come on. Those of `METHODS` are not repeated."""

WITHOUT_LOGIN: Final = frozenset(
    {"login", "UserPresence:online", "UserPresence:away", "livechat:setUpConnection"}
    | {"UserPresence:connect", "UserPresence:ping", "stream-notify-room"}
    | {"stream-notify-room-users", "stream-notify-user"}
)
"""Of these, what needs nobody signed in, or has no effect then."""

WRITERS: Final = {
    "notify-room": "members, about their own typing and other activity",
    "notify-room-users": "members, with what their clients tell each other",
    "notify-user": "who shares a direct room with that user, to set up a call",
}
"""Streams that clients may write to, with the method `stream-<name>`. To all others a write has
no effect and is no error."""

_ME, _ROOM = "<you>", "<room>"
_EVENTS: Final[dict[str, tuple[str, ...]]] = {
    "room-messages": (_ROOM, MY_MESSAGES_EVENT),
    "room-data": (_ROOM,),
    "notify-room": (f"{_ROOM}/…",),
    "notify-user": (f"{_ME}/…",),
    "notify-logged": ("…", "private-settings-changed"),
}
"""Event names whose rules differ, for streams that have more than one rule."""

_QUESTIONS: Final = {
    "read": "who may read the room",
    "access": "who may enter the room",
}


def methods() -> str:
    """The table of DDP methods."""
    rows = {name: (row.summary, row.anonymous) for name, row in METHODS.items()}
    for name, summary in IN_THE_STREAMER.items():
        rows.setdefault(name, (summary, name in WITHOUT_LOGIN))
    return _table(
        ("method", "does", "without a login", "offered"),
        (
            (f"`{name}`", summary, "yes" if anonymous else "no", _offered_method(name))
            for name, (summary, anonymous) in sorted(rows.items(), key=_by_name)
        ),
    )


def _offered_method(name: str) -> str:
    if name in out_of_scope.METHOD_ANSWERS:
        return _stand_in(out_of_scope.METHOD_ANSWERS[name])
    return "yes"


def rest() -> str:
    """The table of REST endpoints."""
    logins = {"required": "yes", "optional": "either", "anonymous": "no"}
    return _table(
        ("endpoint", "does", "login", "offered"),
        (
            (
                f"{row['method']} `{row['path']}`",
                row["summary"],
                f"`{row['permission']}`" if row["permission"] else logins[row["access"]],
                _offered_endpoint(row["path"]),
            )
            for row in application.describe(endpoints.table())
        ),
    )


def _offered_endpoint(path: str) -> str:
    name = path.removeprefix("/api/v1/")
    if name in out_of_scope.ENDPOINT_ANSWERS:
        return _stand_in(out_of_scope.ENDPOINT_ANSWERS[name])
    return "yes"


def not_offered() -> str:
    """What answers 404, by feature."""
    rows = []
    for feature in out_of_scope.FEATURES:
        names = [f"`{name}`" for name in feature.methods.split()]
        paths = [f"`{name}`" for name in feature.endpoints.split()]
        rows.append((feature.title, ", ".join(names) or "–", ", ".join(paths) or "–"))
    return _table(("not offered", "methods that answer 404", "endpoints that answer 404"), rows)


def streams() -> str:
    """The table of streams: who may listen and who may write."""
    rows = []
    for name in sorted(STREAMS):
        for event in _EVENTS.get(name, ("…",)):
            reads = _readers(name, event)
            rows.append((f"`stream-{name}`", f"`{event}`", reads, WRITERS.get(name, "nobody")))
    return _table(("stream", "event", "may listen", "may write"), rows)


def _readers(stream: str, event: str) -> str:
    """Who may listen, asked of the streamer's own rules."""
    try:
        found = plan(stream, event, _ME)
    except HubbubError as error:
        return f"nobody (`{error.code}`)"
    return _who(found)


def _who(found: Plan) -> str:
    match found.who:
        case Who.ANYBODY:
            return "everybody, signed in or not"
        case Who.LOGGED if found.topic[1].startswith(_ME):
            return "that user"
        case Who.LOGGED:
            return "who is signed in"
        case Who.NOBODY:
            return "nobody"
        case Who.ASK:
            if found.question is None:
                raise ValueError(f"{found.topic} asks nothing")
            known = _QUESTIONS.get(found.question.what)
            return known or f"who holds one of `{found.question.subject.replace(' ', '`, `')}`"


def _stand_in(answer: Any) -> str:
    return f"no: `{json.dumps(answer)}`"


def _by_name(row: tuple[str, Any]) -> str:
    return row[0].lower()


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


TABLES: Final[dict[str, Callable[[], str]]] = {
    "methods": methods,
    "streams": streams,
    "rest": rest,
    "not offered": not_offered,
}


def written(page: str) -> str:
    """The page with its tables as the code has them now."""
    for name, made in TABLES.items():
        before, start, rest_of_page = page.partition(f"<!-- {name} -->\n")
        if not start:
            raise ValueError(f"the page has no place for the table of {name}")
        _, end, after = rest_of_page.partition("\n<!-- end -->")
        page = before + start + made() + end + after
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
