"""A whole Hubbub on this machine: latency, CPU per delivered frame, memory.

    python benchmarks/end_to_end.py [--sockets 1000] [--users 20] [--seconds 10] [--rate 50]

Starts `hubbub up` with one streamer in a folder of its own, opens the sockets straight at the
streamer's front door, lets one user send at a fixed rate into a room that every socket follows,
and counts every frame that arrives. A run in which a frame is missing is void.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

PASSWORD = "correct-horse-battery"
TICK = os.sysconf("SC_CLK_TCK")  # CPU ticks per second


class Socket(asyncio.Protocol):
    """The leanest DDP client: sends masked frames, counts and timestamps what arrives."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.buffer = b""
        self.upgraded = False
        self.waiting: dict[str, asyncio.Future[Any]] = {}
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(
            b"GET /websocket HTTP/1.1\r\nHost: bench\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            b"Sec-WebSocket-Version: 13\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self.buffer += data
        if not self.upgraded:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            if b" 101 " not in self.buffer[:32]:
                raise RuntimeError(self.buffer[:200])
            self.buffer = self.buffer[end + 4 :]
            self.upgraded = True
        for payload in self._frames():
            self._handle(payload, now)

    def _frames(self) -> Iterator[bytes]:
        data, at = self.buffer, 0
        while len(data) - at >= 2:
            length, header = data[at + 1], 2
            if length == 126:
                length, header = int.from_bytes(data[at + 2 : at + 4], "big"), 4
            elif length == 127:
                length, header = int.from_bytes(data[at + 2 : at + 10], "big"), 10
            if len(data) - at < header + length:
                break
            yield data[at + header : at + header + length]
            at += header + length
        self.buffer = data[at:]

    def _handle(self, payload: bytes, now: float) -> None:
        if payload.startswith(b'{"msg":"changed"'):
            self.probe.frame(payload, now)
        elif payload.startswith(b'{"msg":"ping"'):
            self.send({"msg": "pong"})
        else:
            message = orjson.loads(payload)
            match message.get("msg"):
                case "connected":
                    key = "connected"
                case "result":
                    key = message["id"]
                case "ready":
                    key = message["subs"][0]
                case _:
                    return
            future = self.waiting.pop(key, None)
            if future is not None and not future.done():
                future.set_result(message)

    def send(self, message: dict[str, Any]) -> None:
        payload = orjson.dumps(message)
        header = bytes([0x81])
        if len(payload) < 126:
            header += bytes([0x80 | len(payload)])
        else:
            header += bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
        assert self.transport is not None
        self.transport.write(header + b"\0\0\0\0" + payload)  # a mask of zeros changes nothing

    async def ask(self, key: str, message: dict[str, Any]) -> dict[str, Any]:
        future = asyncio.get_running_loop().create_future()
        self.waiting[key] = future
        self.send(message)
        answer: dict[str, Any] = await asyncio.wait_for(future, 30)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


class Probe:
    """Counts frames of the measured messages and how long each took."""

    def __init__(self) -> None:
        self.sent: dict[bytes, float] = {}
        self.frames = 0
        self.latencies: list[float] = []  # seconds
        self.wanted = -1
        self.complete = asyncio.Event()

    def frame(self, payload: bytes, now: float) -> None:
        mark = payload.find(b'"bench-')
        if mark < 0:
            return
        started = self.sent.get(payload[mark + 1 : payload.index(b'"', mark + 1)])
        if started is not None:
            self.frames += 1
            self.latencies.append(now - started)
            if self.frames == self.wanted:
                self.complete.set()


@contextmanager
def running(port: int) -> Iterator[int]:
    """A Hubbub of its own; the supervisor's process id."""
    with tempfile.TemporaryDirectory(prefix="hubbub-bench-") as folder:
        log = Path(folder) / "out.log"
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("HUBBUB_")},
            "HUBBUB_ADMIN_PASSWORD": PASSWORD,
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "hubbub.cli.main", "up"),
                    *("--port", str(port), "--data", str(Path(folder) / "data")),
                ],
                stdout=out,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        try:
            started = time.monotonic()
            while b"ign in" not in log.read_bytes():
                if process.poll() is not None or time.monotonic() - started > 90:
                    raise RuntimeError(log.read_text()[-3000:])
                time.sleep(0.1)
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def processes(root: int) -> dict[str, int]:
    """Name → process id of everything under the supervisor."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(
                    (entry / "stat").read_text().rpartition(")")[2].split()[1]
                )
            except OSError:
                continue
    found: dict[str, int] = {"supervisor": root}
    edge = [root]
    while edge:
        edge = [pid for pid, parent in parents.items() if parent in edge]
        for pid in edge:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
            name = words[words.index("run") + 1] if "run" in words else Path(words[0]).name
            found.setdefault(name, pid)
    return found


def cpu(pid: int) -> float:
    """Seconds of user and system time so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def rss(pid: int) -> int:
    """Resident bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def rest(port: int, path: str, body: dict[str, Any], login: dict[str, str] | None = None) -> Any:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/{path}",
        data=json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            **({"X-Auth-Token": login["authToken"], "X-User-Id": login["userId"]} if login else {}),
        },
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def opened(port: int, probe: Probe, token: str) -> Socket:
    _, client = await asyncio.get_running_loop().create_connection(
        lambda: Socket(probe), "127.0.0.1", port
    )
    await client.ask("connected", {"msg": "connect", "version": "1", "support": ["1"]})
    login = {"msg": "method", "method": "login", "id": "l", "params": [{"resume": token}]}
    await client.ask("l", login)
    return client


async def measure(options: argparse.Namespace, port: int, supervisor: int) -> dict[str, Any]:
    pids = processes(supervisor)
    admin = rest(port, "login", {"user": "admin", "password": PASSWORD})["data"]
    tokens = []
    for number in range(options.users):
        name = f"bench{number}"
        account = {"username": name, "name": name, "email": f"{name}@example.org", "pass": PASSWORD}
        await asyncio.to_thread(rest, port, "users.register", account)
        login = {"user": name, "password": PASSWORD}
        tokens.append((await asyncio.to_thread(rest, port, "login", login))["data"]["authToken"])
    names = [f"bench{number}" for number in range(options.users)]
    room = rest(port, "groups.create", {"name": "bench", "members": names}, admin)["group"]["_id"]

    probe = Probe()
    streamer = pids["ddp-streamer"]
    before_memory = 0
    clients: list[Socket] = []
    opening = time.perf_counter()
    for number in range(options.sockets):
        clients.append(await opened(port, probe, tokens[number % len(tokens)]))
        if number == 9:
            before_memory = rss(streamer)
    opening = time.perf_counter() - opening
    memory = (rss(streamer) - before_memory) / max(1, options.sockets - 10)
    for client in clients:
        sub = {"msg": "sub", "id": "r", "name": "stream-room-messages", "params": [room, False]}
        await client.ask("r", sub)
    sender = await opened(port, Probe(), admin["authToken"])

    await asyncio.sleep(2)
    used = {name: cpu(pid) for name, pid in pids.items()}
    started = time.perf_counter()
    count = options.seconds * options.rate
    expected = probe.wanted = count * options.sockets
    sends = []
    for number in range(count):
        await asyncio.sleep(max(0.0, started + number / options.rate - time.perf_counter()))
        text = f"bench-{number}"
        probe.sent[text.encode()] = time.perf_counter()
        call = {
            "msg": "method",
            "method": "sendMessage",
            "id": text + "-call",
            "params": [{"rid": room, "msg": text}],
        }
        sends.append(asyncio.ensure_future(sender.ask(text + "-call", call)))
    await asyncio.gather(*sends)
    async with asyncio.timeout(30):
        await probe.complete.wait()
    elapsed = time.perf_counter() - started
    used = {name: cpu(pid) - used[name] for name, pid in pids.items()}
    if probe.frames != expected:
        raise RuntimeError(f"void: {probe.frames} frames arrived instead of {expected}")
    latencies = sorted(probe.latencies)
    return {
        "messages": count,
        "sockets": options.sockets,
        "frames": probe.frames,
        "seconds": round(elapsed, 2),
        "latency_ms": {
            "p50": round(statistics.median(latencies) * 1000, 2),
            "p99": round(latencies[int(len(latencies) * 0.99)] * 1000, 2),
            "max": round(latencies[-1] * 1000, 2),
        },
        "logins_per_second": round(options.sockets / opening, 1),
        "streamer_cpu_us_per_frame": round(used["ddp-streamer"] / probe.frames * 1e6, 2),
        "streamer_bytes_per_connection": round(memory),
        "cpu_seconds": {name: round(seconds, 2) for name, seconds in used.items()},
        "rss_mib": {name: round(rss(pid) / 2**20, 1) for name, pid in pids.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rate", type=int, default=20, help="messages per second")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    port = free_port()
    with running(port) as supervisor:
        figures = asyncio.run(measure(options, port, supervisor))
    figures["machine"] = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(terse=True),
        "date": time.strftime("%Y-%m-%d"),
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
