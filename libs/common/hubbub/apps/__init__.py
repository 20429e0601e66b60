"""Apps: programs that automate a chat, each in a process of its own beside Hubbub's services.

What authors use is here; `docs/howto/write-an-app.md` begins at the beginning.

* `app`          what an app registers and can do
* `calls`        what its handlers are called with and answer
* `documents`    messages, rooms and users as apps see them
* `store`        what it keeps and writes down
* `testing`      a Hubbub for its unit tests

What runs them:

* `manifest`     `app.toml`
* `permissions`  what there is to be allowed
* `cron`         when something regular comes next
* `wire`         frames between the engine and the process of an app
* `line`         calls over a socket that carries such frames
* `dispatch`     from a call to the handler
* `host`         the program of that process
* `packing`, `checking`, `seen`, `skeleton`, `simulator`, `fake`   what `hubbub app` does for
  authors

The process of an app loads the standard library and nothing else, so it is small and there at
once: what loads `manifest` or `cron` is not for it.
"""

from hubbub.apps.app import App
from hubbub.apps.calls import (
    ALLOW,
    Command,
    Event,
    Job,
    Planned,
    Request,
    Response,
    Verdict,
    change,
    refuse,
)
from hubbub.apps.documents import Message, Room, User
from hubbub.apps.engine import Refused

__all__ = [
    "ALLOW",
    "App",
    "Command",
    "Event",
    "Job",
    "Message",
    "Planned",
    "Refused",
    "Request",
    "Response",
    "Room",
    "User",
    "Verdict",
    "change",
    "refuse",
]
