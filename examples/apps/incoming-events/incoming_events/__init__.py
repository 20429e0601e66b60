"""Incoming events: a room is told what happens in a repository.

The sender signs each request as GitHub does: `X-Hub-Signature-256` is the HMAC-SHA256 of the
body under a shared secret. Whatever is not signed is turned away before it is read.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

from hubbub.apps import App, Request, Response

app = App()

_SHOWN = 3
"""Commits of a push that are told one by one."""


@app.endpoint("events")
async def received(request: Request) -> Response:
    """Check, understand, tell."""
    if not signed(request.body, request.headers.get("x-hub-signature-256", "")):
        app.log.warning("a request without a valid signature")
        return Response("wrong signature\n", status=401)
    try:
        text = told(request.headers.get("x-github-event", ""), request.json())
    except (ValueError, KeyError, TypeError, AttributeError):
        return Response("not an event that is known here\n", status=400)
    if text is None:
        return Response("nothing to tell\n", status=202)
    # A delivery that is repeated is the same message.
    delivery = request.headers.get("x-github-delivery", "")
    known = hashlib.sha256(delivery.encode()).hexdigest()[:17] if delivery else None
    await app.send_message(text, room=app.settings["room"], id=known)
    return Response("told\n", status=200)


def signed(body: bytes, signature: str) -> bool:
    """Whether the sender knows the secret. A wrong signature takes as long as a right one."""
    secret = str(app.settings["secret"]).encode()
    expected = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), signature.encode())


def told(event: str, body: dict[str, Any]) -> str | None:
    """An event in words; None for what nobody wants to know.

    Raises: ValueError, KeyError, TypeError, AttributeError: it is not what it says.
    """
    match event:
        case "push":
            return _push(body)
        case "pull_request" | "issues":
            return _changed(event, body)
        case _:
            return None


def _push(body: dict[str, Any]) -> str | None:
    commits = body["commits"]
    if not commits:
        return None
    branch = body["ref"].removeprefix("refs/heads/")
    number = "one commit" if len(commits) == 1 else f"{len(commits)} commits"
    lines = [
        f"{plain(body['pusher']['name'])} pushed {number} to {plain(branch)} "
        f"of {plain(body['repository']['full_name'])}"
    ]
    lines += [f"- {plain(commit['message'].partition(chr(10))[0])}" for commit in commits[:_SHOWN]]
    if len(commits) > _SHOWN:
        lines.append(f"- and {len(commits) - _SHOWN} more")
    return "\n".join(lines)


def _changed(event: str, body: dict[str, Any]) -> str | None:
    action = body["action"]
    if action not in ("opened", "closed", "reopened"):
        return None
    thing = body["pull_request" if event == "pull_request" else "issue"]
    what = "pull request" if event == "pull_request" else "issue"
    action = "merged" if thing.get("merged") else action
    return (
        f"{plain(body['sender']['login'])} {action} {what} #{int(thing['number'])} "
        f"of {plain(body['repository']['full_name'])}: {plain(thing['title'])}"
    )


def plain(text: str) -> str:
    """A stranger's words, cut to a line's length; names in them call nobody."""
    return text[:200].replace("@", "@\N{ZERO WIDTH SPACE}")
