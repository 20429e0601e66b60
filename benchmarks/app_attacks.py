"""Apps that do harm, in a whole Hubbub in which two people chat.

    python -m benchmarks.app_attacks [--without 4] [--during 6] [--only NAME ...] [--write-docs]

The attacks are those of the tests (`tests/integration/apps_engine/hostile.py`), in a package that
is installed as any other: as soon as it is imported it takes the place of the host and does what it
is told by a slash command, again and again, or whenever it is asked before a message. Before and
after each attack the two chat without it; of the chat beside it the first two seconds, in which it
is noticed, are counted apart. What counts is the time from writing a `sendMessage`
to reading the `changed`. Every arrival is counted; a run in which one is missing is void. At the
end a table is printed; `--write-docs` writes it into `docs/app-isolation.md`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import fmean
from typing import Any

import aiohttp
import uvloop

from benchmarks.apps import PEOPLE, Room, chatting
from benchmarks.end_to_end import MARK, SENDING
from benchmarks.figures import Outcome, command, number
from benchmarks.installing import Administrator, administrator
from benchmarks.load import Count, Generator, Void
from benchmarks.machine import ROOT, describe, load_now
from benchmarks.running import hubbub

PAGE = ROOT / "docs" / "app-isolation.md"
BEGIN = "<!-- attacks: begin (written by python -m benchmarks.app_attacks --write-docs) -->"
END = "<!-- attacks: end -->"
_BUSY = 1.0  # processes that wanted a core before the run began
_ATTACKS = ROOT / "tests" / "integration" / "apps_engine" / "hostile.py"
_APP = "hostile"
_COMMAND = '[commands.attack]\ndescription = "Attack"\n'
_AGAIN = 0.5  # seconds between two attacks
_ONSET = 2.0  # seconds in which an attack is noticed
_SETTLES = 1.0  # seconds between two parts
_INSTEAD_OF_THE_HOST = """
import json
import os
import time

from hostile.attacks import Hostile
from hubbub.apps import wire

WAY = {way!r}


class InPlaceOfTheHost(Hostile):
    def _answer(self, call):
        if call.name == "command":
            return super()._answer(wire.Call(call.id, "command", json.loads(call.args["params"])))
        if call.name == "hook":
            return self._judge(call)
        return super()._answer(call)

    def _judge(self, call):
        match WAY:
            case "loop":
                self.loop()
            case "sleep":
                time.sleep(3600)
            case "raise":
                return wire.Refusal(call.id, "attack", "x" * 1000)
            case "nonsense":
                return wire.Answer(call.id, {{"verdict": [[[42]]], "message": "none"}})
            case "large":
                text = "x" * 900_000
                return wire.Answer(call.id, {{"verdict": "change", "message": {{"text": text}}}})


if WAY == "crash":
    os._exit(7)
here = InPlaceOfTheHost(3)
here._socket.setblocking(True)
# The host is being asked to start, as its first call, while it imports this.
hooks = ["message_sending"] if WAY else []
here._send(wire.Answer(1, {{"commands": ["attack"], "events": [], "hooks": hooks}}))
here.serve()
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Attack:
    """One app."""

    what: str
    do: Mapping[str, Any] = field(default_factory=dict)
    """What the command makes it do, over and over."""
    way: str = ""
    """What it does when it is asked before a message, or at its start."""
    longer: float = 0.0
    """Seconds that it takes until something is done about it."""

    @property
    def permissions(self) -> list[str]:
        return ["command", "user.read", *(["message.hook", "room.read-all"] if self.way else [])]

    @property
    def files(self) -> dict[str, str]:
        return {
            "__init__.py": _INSTEAD_OF_THE_HOST.format(way=self.way),
            "attacks.py": _ATTACKS.read_text(),
        }


ATTACKS: Mapping[str, Attack] = {
    "loop": Attack("endless loop", {"do": "loop"}, longer=12.0),
    "memory": Attack("10 GB at once", {"do": "allocate", "mebibytes": 10_240}),
    "growth": Attack("memory until there is no more", {"do": "grow", "kind": "heap"}),
    "forks": Attack("fork bomb", {"do": "fork_bomb"}),
    "threads": Attack("thousands of threads", {"do": "thread_bomb"}),
    "disk": Attack("filling the disk", {"do": "fill", "files": 100, "mebibytes": 10}),
    "output": Attack("output without end", {"do": "print_without_end"}),
    "calls": Attack("flood of calls over the bridge", {"do": "flood", "kind": "call"}),
    "tells": Attack("flood of log lines over the bridge", {"do": "flood", "kind": "tell"}),
    "garbage": Attack("what is no frame", {"do": "raw", "text": "ffffffff" * 64}),
    "crash": Attack("crash at every start", way="crash"),
    "hook_loop": Attack("hook that loops for ever", way="loop"),
    "hook_sleep": Attack("hook that sleeps", way="sleep"),
    "hook_raise": Attack("hook that raises", way="raise"),
    "hook_nonsense": Attack("hook that answers nonsense", way="nonsense"),
    "hook_large": Attack("hook that answers 900 KB", way="large"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """What came of one attack."""

    attack: Attack
    became: str
    onset: Count
    """The first moments of the attack."""
    during: Count
    """All that follows."""
    without: tuple[Count, Count]
    """Before and after it."""

    def alone(self, part: str) -> float:
        """Milliseconds without the attack."""
        return fmean(one.latency_ms[part] for one in self.without)

    def growth(self, part: str) -> float:
        """How much longer messages take once the attack was noticed."""
        return self.during.latency_ms[part] / self.alone(part)

    def cells(self) -> list[str]:
        """As in the table."""
        pairs = [f"{number(self.alone('p50'))} / {number(self.alone('p99'))}"]
        pairs += [
            f"{number(one.latency_ms['p50'])} / {number(one.latency_ms['p99'])}"
            for one in (self.onset, self.during)
        ]
        growth = f"{self.growth('p50'):.2f} / {self.growth('p99'):.2f}"
        return [self.attack.what, self.became, *pairs, growth]


async def chat(room: Room, rate: float, seconds: float) -> Count:
    """Both talk in turn; what arrived. Raises: Void: something did not."""
    count = round(rate * seconds)
    frames = count * PEOPLE.members
    await room.load.reset(MARK)
    found = await room.load.talk(
        SENDING, senders=[0, 1], names=PEOPLE.names(), rate=rate, count=count, frames=frames
    )
    if found.frames != frames or found.errors or found.closed:
        raise Void(f"{found.frames} of {frames} frames arrived, {found.errors} were refused")
    return found


async def attacking(admin: Administrator, room_id: str, attack: Attack) -> None:
    """Attack until cancelled."""
    while attack.do:
        # It answers with an error, or does not, or is gone.
        with suppress(RuntimeError, aiohttp.ClientError, TimeoutError):
            params = json.dumps(attack.do)
            await admin.post("commands.run", command="attack", params=params, roomId=room_id)
        await asyncio.sleep(_AGAIN)


async def one(
    room: Room,
    admin: Administrator,
    room_id: str,
    attack: Attack,
    before: Count,
    options: argparse.Namespace,
) -> Row:
    """Chat beside the attack, and then without it as `before`."""
    installing = asyncio.create_task(
        admin.install(_APP, attack.files, attack.permissions, _COMMAND)
    )
    if attack.way != "crash":
        await installing
    task = asyncio.create_task(attacking(admin, room_id, attack))
    try:
        onset = await chat(room, options.rate, _ONSET)
        during = await chat(room, options.rate, options.during + attack.longer)
        await installing
        became = await _became(admin)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await admin.remove(_APP)
    await asyncio.sleep(_SETTLES)
    after = await chat(room, options.rate, options.without)
    return Row(attack, became, onset, during, (before, after))


async def _became(admin: Administrator) -> str:
    """What is shown of it: runs, is started again, is switched off; and why."""
    app = await admin.app(_APP)
    status, times = app["status"], app["restarts"]
    ended = [line["text"] for line in await admin.logs(_APP) if line["text"].startswith("It ")]
    why = ended[0] if ended else ""
    if status == "manually_enabled" and not times:
        return "runs on"
    again = f"started again {times} times" if times else "is started"
    return f"{status}; {again}; {why}".strip("; ")


def table(rows: list[Row]) -> str:
    """As the page shows it."""
    times = ["without, ms", f"first {_ONSET:g} s, ms", "then, ms", "then beside without, ×"]
    head = ["attack", "what became of the app", *times]
    lines = [head, ["---"] * len(head), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def written(page: str, rows: list[Row], load_before: float) -> str:
    """The page with these rows, and where they were measured. Raises: ValueError: no markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the page has no markers for attacks")
    machine = describe()
    said = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d} on {machine['processor']}, "
        f"{machine['cores']} cores, {machine['system']}."
    )
    if load_before > _BUSY:
        said += (
            f" The machine was busy with other work ({load_before:.1f} processes wanted a core "
            "before the run began)."
        )
    return f"{before}{BEGIN}\n\n{said}\n\n{table(rows)}\n\n{END}{after}"


async def run(options: argparse.Namespace) -> Outcome:
    """All of them."""
    outcome, rows, load_before = Outcome(), [], load_now()
    async with hubbub() as house, Generator() as load, administrator(house) as admin:
        room = await chatting(house, load)
        channel = await admin.post("channels.create", name="attacks")
        room_id = channel["channel"]["_id"]
        await chat(room, options.rate, 3)  # warms caches
        before = await chat(room, options.rate, options.without)
        for name in options.only or ATTACKS:
            row = await one(room, admin, room_id, ATTACKS[name], before, options)
            before = row.without[-1]
            rows.append(row)
            print(" | ".join(row.cells()), flush=True)
            for part in ("p50", "p99"):
                outcome.put(f"attacks.{name}.onset_{part}", row.onset.latency_ms[part], "ms")
                outcome.put(f"attacks.{name}.{part}", row.during.latency_ms[part], "ms")
                outcome.put(f"attacks.{name}.{part}_growth", row.growth(part), "×")
    for part in ("p50", "p99"):
        outcome.put(f"attacks.worst_{part}_growth", max(row.growth(part) for row in rows), "×")
    outcome.notes.append(f"app attacks: two people in a room, {options.rate:g} messages/s")
    print(f"\n{table(rows)}\n", flush=True)
    if options.write_docs:
        page = await asyncio.to_thread(PAGE.read_text)
        await asyncio.to_thread(PAGE.write_text, written(page, rows, load_before))
    return outcome


def measure(options: argparse.Namespace) -> Outcome:
    """See the module."""
    return uvloop.run(run(options))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rate", type=float, default=40.0, help="messages per second")
    parser.add_argument("--without", type=float, default=4.0, help="seconds of chat alone")
    parser.add_argument("--during", type=float, default=6.0, help="seconds of chat beside it")
    parser.add_argument(
        "--write-docs", action="store_true", help="write the table into docs/app-isolation.md"
    )
    parser.add_argument("--only", nargs="+", choices=sorted(ATTACKS), metavar="NAME")


if __name__ == "__main__":
    command(__doc__, measure, arguments)
