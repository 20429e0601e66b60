"""Reminders: `/remind 10m the oven` says so in ten minutes, to whoever asked.

A reminder is two things: a job that comes when it is time, and an entry in the store, by which
its owner can see and cancel it. Both survive a restart.
"""

from __future__ import annotations

import re
import secrets
from datetime import timedelta

from hubbub.apps import App, Command, Job

app = App()

HELP = "Try `/remind 10m the oven`, `/remind 1h30m lunch`, `/remind list` or `/remind cancel 1`."
LONGEST = timedelta(days=366)

_IN = re.compile(r"(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?")


@app.command("remind")
async def remind(command: Command) -> None:
    """Plan, list or cancel."""
    word, _, rest = command.params.partition(" ")
    if word == "list" and not rest:
        await command.reply(await listed(command.user.id))
    elif word == "cancel":
        await command.reply(await cancelled(command.user.id, rest.strip()))
    else:
        await command.reply(await planned(command, duration(word), rest.strip()))


@app.job("remind")
async def due(job: Job) -> None:
    """It is time. The message has the job's id, so a job that comes twice is one message."""
    await app.send_message(job.data["text"], user=job.data["username"], id=job.id)
    await app.store.delete(key(job.data["user"], job.id))


async def planned(command: Command, after: timedelta | None, text: str) -> str:
    """Plan a reminder; returns what to tell its owner."""
    if after is None or not text:
        return HELP
    if not timedelta(0) < after <= LONGEST:
        return "A reminder comes within a year."
    user = command.user.id
    if len(await app.store.keys(key(user))) >= app.settings["limit"]:
        return "You have too many reminders; cancel one first."
    job_id = secrets.token_hex(8)
    at = app.now() + after
    # The entry comes first: one without a job can be cancelled, a job without one cannot.
    await app.store.set(key(user, job_id), {"text": text, "at": at.timestamp()})
    await app.schedule(
        "remind",
        at=at,
        data={"user": user, "username": command.user.username, "text": text},
        id=job_id,
    )
    return f"I will remind you at {at:%H:%M} UTC on {at:%d %B}."


async def listed(user: str) -> str:
    """The reminders of a user, numbered, the next one first."""
    lines = [f"{number}. {text}" for number, (_, text) in enumerate(await reminders(user), start=1)]
    return "\n".join(lines) or "You have no reminders."


async def cancelled(user: str, number: str) -> str:
    """Forget one; returns what to tell its owner."""
    found = await reminders(user)
    if not number.isascii() or not number.isdigit() or not 1 <= int(number) <= len(found):
        return HELP
    job_id, text = found[int(number) - 1]
    await app.unschedule(job_id)
    await app.store.delete(key(user, job_id))
    return f"Cancelled: {text}"


async def reminders(user: str) -> list[tuple[str, str]]:
    """Job and text of a user's reminders, the next one first."""
    found = []
    for name in await app.store.keys(key(user)):
        entry = await app.store.get(name)
        if entry is not None:  # it came in between
            found.append((entry["at"], name.rpartition("/")[2], entry["text"]))
    return [(job_id, text) for _, job_id, text in sorted(found)]


def key(user: str, job_id: str = "") -> str:
    """Where a reminder is kept, or what all of a user's begin with."""
    return f"open/{user}/{job_id}"


def duration(word: str) -> timedelta | None:
    """What `1d2h30m` stands for; None if it is nothing of the kind."""
    found = _IN.fullmatch(word)
    if not word or found is None:
        return None
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
