"""What the streamer costs: CPU per delivered frame beside its peers, memory per connection.

    python -m benchmarks.streamer [--sockets 1000] [--rounds 5] [--bare 8000] [--working 2000]

The streamer is the real process behind a real NATS: events go into the JetStream stream as the
hub appends them, clients are signed in and subscribed by DDP, metrics are on. The services that
it asks are stand-ins that answer at once. Its peers deliver the same bytes at the same pace to as
many sockets, in turn with it: a C loop of `send()`, and Node's `ws` with a frame built once per
event. Servers run on one core; the load generator, NATS and the publisher on another. CPU is the
server process's user + system time over the frames that arrived; every byte is compared with what
was sent, and a run with a difference is void.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson
import uvloop

from benchmarks import peers
from benchmarks.figures import Outcome, command
from benchmarks.load import Generator, Step, Void
from benchmarks.machine import cores, cpu_seconds, free_port, open_files, rss_bytes, write_calls
from benchmarks.publishing import MARK, Publisher, expected, publisher, template
from benchmarks.running import Broker, broker, service
from benchmarks.stand_ins import EVERYBODY, rooms_of, token, user_id

_BURST = 20  # events
_BURST_GAP = 0.005 / _BURST  # seconds: all of a burst within 5 ms
_BURSTS = 5
_REST = 0.1  # seconds between two looks of the load generator while CPU is measured
_CLOSE_LOOK = 0.001
_SINGLE = 0.98  # writes per frame, at least, when every event is written on its own
_NO_PING = "3600"  # seconds; heartbeats would be in the bytes of whoever is measured longest
_CONNECT = Step(['{"msg":"connect","version":"1","support":["1"]}'], '"msg":"connected"')
_LOGIN = Step(
    ['{"msg":"method","method":"login","id":"l","params":[{"resume":"{token}"}]}'],
    '"msg":"result"',
)
_OWN_STREAMS = (
    "message", "notification", "subscriptions-changed", "rooms-changed", "userData",
)  # fmt: skip
_SHARED_STREAMS = ("user-status", "updateAvatar", "roles-change", "Users:NameChanged")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A server with its clients, ready to deliver."""

    name: str
    pid: int
    load: Generator
    payload: bytes
    deliver: Callable[[int, int, float], Awaitable[None]]
    """Deliver events to all clients: first number, how many, seconds between two."""


@dataclass(slots=True)
class Round:
    """What one round cost."""

    cpu_us: float
    load_cpu_us: float
    frames_per_read: float
    writes_per_frame: float
    """0 for who uses `send`."""


async def delivered(
    one: Candidate,
    sockets: int,
    first: int,
    events: int,
    work: Awaitable[None],
    *,
    rest: float = _REST,
) -> Round:
    """Measure `work`, which delivers `events` numbered from `first`. Raises: Void."""
    await one.load.reset(MARK, rest=rest)
    cpu, load_cpu, writes = cpu_seconds(one.pid), cpu_seconds(one.load.pid), write_calls(one.pid)
    await work
    count = await one.load.wait(events * sockets)
    frames = events * sockets
    cpu, load_cpu = cpu_seconds(one.pid) - cpu, cpu_seconds(one.load.pid) - load_cpu
    wanted = {expected(one.payload, first, events): sockets}
    if count.closed or dict(count.kinds) != wanted:
        raise Void(f"{one.name}: {count.frames} of {frames} frames, {dict(count.kinds)}")
    return Round(
        cpu_us=cpu / frames * 1e6,
        load_cpu_us=load_cpu / frames * 1e6,
        frames_per_read=count.frames / max(1, count.reads),
        writes_per_frame=(write_calls(one.pid) - writes) / frames,
    )


async def in_bursts(one: Candidate, first: int, pause: float) -> None:
    """`_BURSTS` bursts of `_BURST` events."""
    for number in range(_BURSTS):
        await one.deliver(first + number * _BURST, _BURST, _BURST_GAP)
        await asyncio.sleep(pause)


# --- servers


@asynccontextmanager
async def real_streamer(
    folder: Path, **environment: str
) -> AsyncIterator[tuple[Broker, Publisher, int, str]]:
    """Broker, publisher, the streamer's process id and its address."""
    server_core, other_cores = cores()
    port = free_port()
    async with AsyncExitStack() as stack:
        nats = await stack.enter_async_context(broker(folder, other_cores))
        stand_ins = [sys.executable, "-m", "benchmarks.stand_ins", nats.url]
        await stack.enter_async_context(peers.running(stand_ins, other_cores))
        hub = await stack.enter_async_context(publisher(nats.url, EVERYBODY))
        pid = await stack.enter_async_context(
            service(
                "ddp-streamer",
                folder,
                {
                    "HUBBUB_NATS_URL": nats.url,
                    "HUBBUB_STREAMER_HOST": "127.0.0.1",
                    "HUBBUB_STREAMER_PORT": str(port),
                    "HUBBUB_STREAMER_DRAIN_WINDOW": "0",
                    "HUBBUB_STREAMER_DRAIN_PATIENCE": "1",
                    "HUBBUB_STREAMER_HEARTBEAT_INTERVAL": _NO_PING,
                    **environment,
                },
                server_core,
            )
        )
        yield nats, hub, pid, f"127.0.0.1:{port}"


async def peer_candidate(
    stack: AsyncExitStack, name: str, arguments: list[str], port: int, sockets: int
) -> Candidate:
    """A peer with its clients."""
    server_core, other_cores = cores()
    payload = template(EVERYBODY)
    peer = await stack.enter_async_context(peers.running(arguments, server_core))
    await peer.ask(payload.decode(), 5)
    load = await stack.enter_async_context(Generator(cores=other_cores))
    await load.open(f"127.0.0.1:{port}", sockets)

    async def deliver(first: int, events: int, gap: float) -> None:
        await peer.ask(f"{first} {events} {round(gap * 1e6)}", 60)

    return Candidate(name, peer.pid, load, payload, deliver)


async def hubbub_candidate(stack: AsyncExitStack, sockets: int) -> Candidate:
    """The streamer with its clients, all of them in one room."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubbub-bench-")))
    _, hub, pid, address = await stack.enter_async_context(real_streamer(folder))
    load = await stack.enter_async_context(Generator(cores=cores()[1]))
    follow = _subscription("stream-room-messages", EVERYBODY)
    steps = [_CONNECT, _LOGIN, Step([follow], '"msg":"ready"')]
    await load.open(address, sockets, steps, names=_people(sockets))

    async def deliver(first: int, events: int, gap: float) -> None:
        await hub.publish(first, events, gap)
        await hub.settled()

    return Candidate("hubbub", pid, load, hub.template, deliver)


# --- measurements


async def fan_out(options: argparse.Namespace, outcome: Outcome) -> None:
    """CPU per frame, in turn with the peers."""
    sockets, events, gap = options.sockets, options.events, options.gap
    async with AsyncExitStack() as stack:
        candidates = [await hubbub_candidate(stack, sockets)]
        for name, manner in (("send_loop", ""), ("node_ws", "prebuilt"), ("node_ws_send", "send")):
            port = free_port()
            try:
                arguments = (
                    await asyncio.to_thread(peers.node_ws, port, manner)
                    if manner
                    else await asyncio.to_thread(peers.send_loop, port)
                )
            except peers.Missing as missing:
                outcome.notes.append(f"left out: {name}: {missing}")
                continue
            candidates.append(await peer_candidate(stack, name, arguments, port, sockets))
        await asyncio.sleep(1.0)
        found: dict[str, list[Round]] = {}
        first = 1
        for turn in range(options.rounds + 1):
            # The first round warms up, and shows how many frames share a write.
            rest = _REST if turn else _CLOSE_LOOK
            for one in candidates:
                work = one.deliver(first, events, gap)
                result = await delivered(one, sockets, first, events, work, rest=rest)
                first += events
                found.setdefault(one.name, []).append(result)
            hubbub, burst = candidates[0], _BURST * _BURSTS
            work = in_bursts(hubbub, first, options.pause)
            result = await delivered(hubbub, sockets, first, burst, work, rest=rest)
            first += burst
            found.setdefault("hubbub_burst", []).append(result)
        compiled = candidates[0].load.compiled
    for name in ("hubbub", "hubbub_burst"):
        outcome.put(f"fanout.{name}.frames_per_read", found[name][0].frames_per_read, "frames")
    found = {name: results[1:] for name, results in found.items()}
    for name, results in found.items():
        outcome.put(f"fanout.{name}.cpu_per_frame", [one.cpu_us for one in results], "µs")
    for name in ("hubbub", "hubbub_burst"):
        writes = [one.writes_per_frame for one in found[name]]
        outcome.put(f"fanout.{name}.writes_per_frame", writes, "writes")
    if min(one.writes_per_frame for one in found["hubbub"]) < _SINGLE:
        outcome.notes.append("not proven: in a round of single events some shared a write")
    for peer in ("send_loop", "node_ws", "node_ws_send"):
        over, under = "fanout.hubbub.cpu_per_frame", f"fanout.{peer}.cpu_per_frame"
        outcome.ratio(f"fanout.hubbub_to_{peer}", over, under)
    outcome.ratio(
        "fanout.burst_to_single", "fanout.hubbub_burst.cpu_per_frame", "fanout.hubbub.cpu_per_frame"
    )
    _prove(found, outcome, compiled=compiled)


def _prove(found: dict[str, list[Round]], outcome: Outcome, *, compiled: bool) -> None:
    """Was the load generator faster than the fastest server?"""
    servers = {name: rounds for name, rounds in found.items() if name != "hubbub_burst"}
    fastest = min(one.cpu_us for rounds in servers.values() for one in rounds)
    loads = [one.load_cpu_us for rounds in servers.values() for one in rounds]
    outcome.put("load.cpu_per_frame", loads, "µs")
    if max(loads) >= fastest:
        slow = f"up to {max(loads):.1f} µs per frame against {fastest:.1f} of the fastest server"
        kind = "compiled" if compiled else "Python"
        outcome.notes.append(f"not proven: the {kind} load generator took {slow}")


async def bare_memory(options: argparse.Namespace, outcome: Outcome) -> None:
    """Memory of a connection that only did the WebSocket handshake."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubbub-bench-")))
        _, _, pid, address = await stack.enter_async_context(
            real_streamer(folder, HUBBUB_STREAMER_CONNECT_TIMEOUT=_NO_PING)
        )
        load = await stack.enter_async_context(Generator(cores=cores()[1]))
        growth = await _growth(load, pid, address, options.bare, (), options.idle)
        outcome.put("memory.bare", growth / 1024, "KiB")
    try:
        port = free_port()
        arguments = await asyncio.to_thread(peers.node_ws, port, "prebuilt")
    except peers.Missing as missing:
        outcome.notes.append(f"left out: memory of node_ws: {missing}")
        return
    async with AsyncExitStack() as stack:
        peer = await stack.enter_async_context(peers.running(arguments, cores()[0]))
        load = await stack.enter_async_context(Generator(cores=cores()[1]))
        growth = await _growth(load, peer.pid, f"127.0.0.1:{port}", options.bare, (), options.idle)
        outcome.put("memory.node_ws_bare", growth / 1024, "KiB")


async def working_memory(options: argparse.Namespace, outcome: Outcome) -> None:
    """Memory of a signed-in connection with 20 subscriptions, its user in 10 rooms; and how many
    subjects the streamer follows for all of them."""
    count = options.working
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hubbub-bench-")))
        nats, _, pid, address = await stack.enter_async_context(real_streamer(folder))
        load = await stack.enter_async_context(Generator(cores=cores()[1]))
        before = cpu_seconds(pid)
        growth = await _growth(load, pid, address, count, working_steps(), options.idle)
        outcome.put("memory.working", growth / 1024, "KiB")
        outcome.put("memory.working_cpu", (cpu_seconds(pid) - before) / count * 1e3, "ms")
        subjects = await asyncio.to_thread(nats.subscriptions, "ddp-streamer/")
        rooms = {room for number in range(count) for room in rooms_of(number)}
        kinds: dict[str, int] = {}
        for subject in subjects:
            for kind in ("live", "ephemeral", "*"):
                if subject.startswith(f"hubbub.v1.{kind}."):
                    kinds[kind] = kinds.get(kind, 0) + 1
        outcome.put("subscriptions.live", kinds.get("live", 0), "subjects")
        outcome.put("subscriptions.ephemeral", kinds.get("ephemeral", 0), "subjects")
        outcome.put("subscriptions.both", kinds.get("*", 0), "subjects")
        outcome.put("subscriptions.all", len(subjects), "subjects")
        allowed = count + len(rooms) + 2
        outcome.put("subscriptions.to_audiences", len(subjects) / allowed, "×")
        outcome.notes.append(
            f"subscriptions: {count} users in {len(rooms)} rooms, so {allowed} audiences"
        )


async def _growth(
    load: Generator, pid: int, address: str, count: int, steps: tuple[Step, ...], idle: float
) -> float:
    """Bytes per connection, from 10 to `count` of them."""
    await load.open(address, 10, steps, names=_people(count))
    await asyncio.sleep(min(idle, 5.0))
    before = rss_bytes(pid)
    await load.open(address, count - 10, steps, names=_people(count), within=600.0)
    await asyncio.sleep(idle)
    return (rss_bytes(pid) - before) / (count - 10)


def working_steps() -> tuple[Step, ...]:
    """What a client does before it waits: it signs in and opens 20 subscriptions."""
    follow = [
        *(_subscription("stream-room-messages", f"{{room{index}}}") for index in range(10)),
        *(_subscription("stream-notify-user", f"{{user}}/{name}") for name in _OWN_STREAMS),
        *(_subscription("stream-notify-logged", name) for name in _SHARED_STREAMS),
        _subscription("stream-user-presence", ""),
    ]
    return (_CONNECT, _LOGIN, Step(follow, '"msg":"ready"', len(follow)))


def _subscription(stream: str, event: str) -> str:
    """The text of a `sub`; its id is its own name, as unique as that within a connection."""
    params: list[object] = [event, False]
    return orjson.dumps(
        {"msg": "sub", "id": f"{stream}/{event}"[:60], "name": stream, "params": params}
    ).decode()


def _people(count: int) -> dict[str, list[str]]:
    """Each connection's own values: a user of its own, and that user's rooms."""
    rooms = {
        f"room{index}": [rooms_of(number)[index] for number in range(count)] for index in range(10)
    }
    return {
        "token": [token(number) for number in range(count)],
        "user": [user_id(number) for number in range(count)],
        **rooms,
    }


async def everything(options: argparse.Namespace) -> Outcome:
    """All measurements, or the chosen ones."""
    outcome = Outcome()
    parts = {"fanout": fan_out, "bare": bare_memory, "working": working_memory}
    for name, part in parts.items():
        if name in options.only:
            await part(options, outcome)
    return outcome


def measure(options: argparse.Namespace) -> Outcome:
    """See the module."""
    most = open_files() - 200
    options.bare = min(options.bare, most)
    return uvloop.run(everything(options))


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sockets", type=int, default=1000, help="clients of the fan-out")
    parser.add_argument("--events", type=int, default=50, help="events of one round")
    parser.add_argument("--gap", type=float, default=0.02, help="seconds between two events")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds between two bursts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bare", type=int, default=8000, help="idle connections")
    parser.add_argument("--working", type=int, default=2000, help="connections that signed in")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds before memory is read")
    parser.add_argument(
        "--only", nargs="+", default=["fanout", "bare", "working"], metavar="PART",
        choices=["fanout", "bare", "working"], help="fanout, bare, working",
    )  # fmt: skip


if __name__ == "__main__":
    command(__doc__, measure, arguments)
