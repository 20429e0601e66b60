"""An app that does whatever it is told to, and mostly harm. Runs in the place of the real host.

It speaks the wire by itself, without the SDK, so that it can also break its rules.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hubbub.apps import wire

_MEBIBYTE = 1024 * 1024
_PTRACE_ATTACH = 16


class Hostile:
    """One app; each public name is an attack that the call `command` asks for in `do`."""

    def __init__(self, channel: int) -> None:
        self._socket = socket.socket(fileno=channel)
        self._decoder = wire.Decoder()
        self._last_id = 0

    def serve(self) -> None:
        while data := self._socket.recv(65536):
            for frame in self._decoder.feed(data):
                if isinstance(frame, wire.Call):
                    self._send(self._answer(frame))
                    if frame.name == "stop":
                        return

    def _answer(self, call: wire.Call) -> wire.Frame:
        if call.name == "start":
            return wire.Answer(call.id, {"commands": [], "events": []})
        if call.name == "stop":
            return wire.Answer(call.id, None)
        attack: Callable[..., Any] = getattr(self, call.args.pop("do"))
        try:
            return wire.Answer(call.id, attack(**call.args))
        except (Exception, SystemExit) as error:
            return wire.Refusal(call.id, "attack-failed", repr(error))

    def _send(self, frame: wire.Frame) -> None:
        self._socket.sendall(wire.encode(frame))

    # What is harmless.

    def ping(self) -> str:
        return "pong"

    def who(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "user": os.getuid(),
            "environment": dict(os.environ),
            "folder": str(Path.cwd()),
            "descriptors": [number for number in range(64) if _is_open(number)],
        }

    def ask(self, times: int, name: str = "user") -> list[str]:
        """Call the engine and wait for the answers."""
        for _ in range(times):
            self._last_id += 1
            self._send(wire.Call(self._last_id, name, {}))
        codes: list[str] = []
        while len(codes) < times:
            codes += [
                frame.code if isinstance(frame, wire.Refusal) else "ok"
                for frame in self._decoder.feed(self._socket.recv(65536))
            ]
        return codes

    # Using up.

    def loop(self) -> None:
        while True:
            pass

    def sleep(self, seconds: float = 3600) -> None:
        time.sleep(seconds)

    def allocate(self, mebibytes: int) -> int:
        return len(bytearray(mebibytes * _MEBIBYTE))

    def grow(self, kind: str) -> int:
        """Take memory until there is none; returns how much that was, in MiB."""
        kept: list[Any] = []
        try:
            while len(kept) < 10_240:
                if kind == "heap":
                    kept.append(b"x" * _MEBIBYTE)
                elif kind == "memfd":
                    file = os.memfd_create(f"m{len(kept)}")
                    os.write(file, b"x" * _MEBIBYTE)
                    kept.append(file)
        except (MemoryError, OSError):
            pass
        count = len(kept)
        kept.clear()
        return count

    def fork_bomb(self) -> int:
        """Make processes without end; returns how many there were before the first refusal."""
        made = 0
        while made < 10_000:
            try:
                child = os.fork()
            except OSError:
                break
            if not child:
                time.sleep(60)
                os._exit(0)
            made += 1
        return made

    def thread_bomb(self) -> int:
        threads = []
        threading.stack_size(32 * 1024)
        stop = threading.Event()
        try:
            for _ in range(5_000):
                thread = threading.Thread(target=stop.wait, daemon=True)
                thread.start()
                threads.append(thread)
        except (RuntimeError, MemoryError):
            pass
        stop.set()
        return len(threads)

    def fill(self, files: int, mebibytes: int) -> int:
        """Write files; returns how many MiB could be written."""
        written = 0
        block = b"x" * _MEBIBYTE
        try:
            for number in range(files):
                with Path(f"file-{number}").open("wb", buffering=0) as file:
                    for _ in range(mebibytes):
                        written += file.write(block)
        except OSError:
            pass
        return written // _MEBIBYTE

    def many_files(self, count: int) -> int:
        made = 0
        try:
            for number in range(count):
                Path(f"empty-{number}").touch()
                made += 1
        except OSError:
            pass
        return made

    def print_without_end(self) -> None:
        while True:
            sys.stdout.write("x" * 10_000 + "\n" * 100)

    # Speaking wrongly.

    def flood(self, kind: str) -> None:
        """Call or tell without reading what comes back."""
        self._socket.setblocking(True)
        frame: wire.Frame = wire.Call(1, "user", {})
        if kind == "tell":
            frame = wire.Tell("log", {"level": "info", "text": "x"})
        data = wire.encode(frame) * 100
        while True:
            self._socket.sendall(data)

    def hoard(self) -> None:
        """Ask for what is large and read none of it."""
        while True:
            self._last_id += 1
            self._send(wire.Call(self._last_id, "large", {}))
            time.sleep(0.03)

    def raw(self, text: str, times: int = 1) -> None:
        """Send bytes that are no frame, and go on as if nothing were."""
        for _ in range(times):
            self._socket.sendall(bytes.fromhex(text))
        time.sleep(3600)

    def nested(self) -> None:
        body = b'{"id":1,"call":"user","args":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001
        self.raw((len(body).to_bytes(4, "big") + body).hex())

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        time.sleep(3600)

    def exit(self, code: int) -> None:
        os.write(2, b"goodbye\n")
        os._exit(code)

    def crash(self) -> None:
        ctypes.string_at(0)

    def lie(self) -> None:
        """Claim another confinement than there is."""
        self._send(wire.Tell("confinement", {"report": {}}))

    # Reaching out.

    def read(self, path: str) -> str:
        return Path(path).read_text(errors="replace")

    def write(self, path: str) -> None:
        Path(path).write_text("owned")

    def mark(self, path: str, how: str) -> None:
        """Change what a file is to others, without opening it."""
        match how:
            case "mode":
                os.chmod(path, 0o777)  # noqa: PTH101 - also of what is no file
            case "owner":
                os.chown(path, os.getuid(), os.getgid())
            case "time":
                os.utime(path, (0, 0))
            case _:
                os.setxattr(path, "user.owned", b"1")

    def listing(self, path: str) -> list[str]:
        return [entry.name for entry in Path(path).iterdir()]

    def link_and_read(self, path: str, kind: str) -> str:
        link = Path(f"link-{kind}")
        link.symlink_to(path) if kind == "symbolic" else link.hardlink_to(path)
        return link.read_text(errors="replace")

    def connect(self, family: str, address: str | list[Any]) -> None:
        target: Any = tuple(address) if isinstance(address, list) else address
        kind = socket.AF_UNIX if family == "unix" else socket.AF_INET
        with socket.socket(kind) as outside:
            outside.connect(target)

    def resolve(self, name: str) -> list[Any]:
        return socket.getaddrinfo(name, 80)

    def kill(self, pid: int) -> None:
        os.kill(pid, 9)

    def kill_everybody(self) -> None:
        os.kill(-1, 9)

    def setuid(self) -> int:
        os.setuid(0)
        return os.getuid()

    def outlive(self) -> None:
        """Forget to die with the engine."""
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(1, 0, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "prctl")

    def ptrace(self, pid: int) -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.ptrace(_PTRACE_ATTACH, pid, None, None) < 0:
            raise OSError(ctypes.get_errno(), "ptrace")
        return pid

    def syscall(self, number: int, arguments: list[int]) -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        result: int = libc.syscall(number, *arguments)
        if result < 0:
            raise OSError(ctypes.get_errno(), "syscall")
        return result

    def run(self, program: str) -> int:
        return subprocess.run([program], check=False).returncode


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def main(channel: int, folder: str, package: str) -> None:
    """What the launcher calls once it is confined."""
    del folder, package
    Hostile(channel).serve()
