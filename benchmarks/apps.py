"""What apps cost those who chat: with none, with one that is asked before every message.

    python -m benchmarks.apps [--rounds 5] [--seconds 3] [--starts 10]

Two whole Hubbubs run beside each other, one of them without the apps engine. In each, two people
are in a room and one of them talks at a fixed rate, first here and then there, round after round;
what counts is the time from writing a `sendMessage` to reading the `changed`. Then an app is
installed that is asked before every message is stored and allows it, and they talk again. Added
latency is the difference of two rounds that followed each other. Every arrival is counted; a run
in which one is missing is void.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

import uvloop
from pydantic import SecretStr

from benchmarks.end_to_end import Population, following, furnish, storm, talk
from benchmarks.figures import Outcome, command
from benchmarks.installing import Administrator, administrator
from benchmarks.load import Count, Generator, Void
from benchmarks.running import Hubbub, hubbub
from hubbub.mongo import MongoSettings, connect

PEOPLE = Population(users=2, members=2)
_ENOUGH = 0.99  # of the messages; one that is late is passed by
_HOOK = """
from hubbub.apps import App

app = App()


@app.before_message
def judge(message):
    return None
"""


@dataclass(frozen=True, slots=True)
class Room:
    """A Hubbub in which two people chat."""

    house: Hubbub
    load: Generator

    async def talk(self, rate: float, seconds: float) -> Count:
        """What arrived. Raises: Void."""
        return await talk(self.load, PEOPLE, rate, seconds, PEOPLE.names())


async def chatting(house: Hubbub, load: Generator) -> Room:
    """Two people come in."""
    mongo = MongoSettings(url=SecretStr(house.mongo_url))
    async with connect(mongo, app_name="benchmark") as client:
        await furnish(client["hubbub"], PEOPLE)
    await storm(load, f"127.0.0.1:{house.port}", PEOPLE)
    await load.script(following(), names=PEOPLE.names())
    return Room(house, load)


async def compare(
    outcome: Outcome, name: str, without: Room, with_apps: Room, options: argparse.Namespace
) -> None:
    """Talk in both rooms in turn, and see what apps add."""
    found: dict[str, list[Count]] = {"without": [], name: []}
    spent: dict[str, list[float]] = {"without": [], name: []}
    for number in range(options.rounds):
        rooms = [("without", without), (name, with_apps)]
        for which, room in rooms if number % 2 else rooms[::-1]:
            before = room.house.cpu()["messaging"]
            count = await room.talk(options.rate, options.seconds)
            sent = count.frames / PEOPLE.members
            spent[which].append((room.house.cpu()["messaging"] - before) / sent * 1e6)
            found[which].append(count)
    for part in ("p50", "p99"):
        there = [one.latency_ms[part] for one in found[name]]
        here = [one.latency_ms[part] for one in found["without"]]
        outcome.put(f"apps.{name}.{part}", there, "ms")
        outcome.put(f"apps.{name}.{part}_without", here, "ms")
        added = [one - other for one, other in zip(there, here, strict=True)]
        outcome.put(f"apps.{name}.added_{part}", added, "ms")
    outcome.put(f"apps.{name}.cpu", spent[name], "µs")
    outcome.put(f"apps.{name}.cpu_without", spent["without"], "µs")


def _judged(house: Hubbub) -> float:
    """Messages that the app has judged so far."""
    return house.counted("apps-engine", "hubbub_app_calls_total", hook="hook", outcome="ok")


async def starting(outcome: Outcome, admin: Administrator, starts: int) -> None:
    """From asking that an app runs until it does, through the front door."""
    took: list[float] = []
    for _ in range(starts):
        await admin.switch("judge", on=False)
        began = time.perf_counter()
        state = await admin.switch("judge", on=True)
        took.append((time.perf_counter() - began) * 1000)
        if state != "manually_enabled":
            raise RuntimeError(f"the app did not start: {state}")
    outcome.put("apps.start", took, "ms")


async def run(options: argparse.Namespace) -> Outcome:
    """One whole run."""
    outcome = Outcome()
    async with AsyncExitStack() as stack:
        rooms = []
        for leaving_out in (("apps-engine",), ()):
            house = await stack.enter_async_context(hubbub(leaving_out=leaving_out))
            load = await stack.enter_async_context(Generator())
            rooms.append(await chatting(house, load))
        without, with_apps = rooms
        admin = await stack.enter_async_context(administrator(with_apps.house))
        for room in rooms:
            await room.talk(options.rate, 1)  # warms caches
        await compare(outcome, "none", without, with_apps, options)
        before = with_apps.house.rss()["apps-engine"]
        app = await admin.install(
            "judge", {"__init__.py": _HOOK}, ["message.hook", "room.read-all"]
        )
        if app["status"] != "manually_enabled":
            raise RuntimeError(f"the app did not start: {app}")
        await with_apps.talk(options.rate, 1)
        judged = await asyncio.to_thread(_judged, with_apps.house)
        await compare(outcome, "hook", without, with_apps, options)
        judged = await asyncio.to_thread(_judged, with_apps.house) - judged
        sent = options.rounds * round(options.rate * options.seconds)
        outcome.put("apps.hook.judged", judged / sent, "of messages")
        if judged < sent * _ENOUGH:
            raise Void(f"the app judged {judged:.0f} of {sent} messages")
        outcome.put("apps.engine_memory", before / 2**20, "MiB")
        await starting(outcome, admin, options.starts)
    outcome.notes.append(
        f"apps: two people in a room, {options.rate:g} messages/s; two Hubbubs in turn, one "
        "without the apps engine"
    )
    return outcome


def measure(options: argparse.Namespace) -> Outcome:
    """See the module."""
    return uvloop.run(run(options))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=50.0, help="messages per second")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=5, help="of each comparison")
    parser.add_argument("--starts", type=int, default=10, help="of an app")


if __name__ == "__main__":
    command(__doc__, measure, arguments)
