"""An app's process, with the test as its engine."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hubbub.apps.wire import Answer, Call, Decoder, Frame, Refusal, Tell, encode

_DEADLINE = 30.0  # seconds for any single frame


class Process:
    """The engine's end of the socket, blocking."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        channel.settimeout(_DEADLINE)
        self._decoder = Decoder()
        self._frames: list[Frame] = []
        self._last_id = 0
        self.told: list[dict[str, Any]] = []
        """Lines of its log."""

    def send(self, frame: Frame) -> None:
        self._channel.sendall(encode(frame))

    def raw(self, data: bytes) -> None:
        self._channel.sendall(data)

    def begin(self, name: str, /, **args: Any) -> int:
        """Call without waiting for the answer; returns the call's id."""
        self._last_id += 1
        self.send(Call(self._last_id, name, args))
        return self._last_id

    def next(self) -> Frame:
        """The next frame that is no line of the log. Raises: EOFError: there is none."""
        while True:
            while self._frames:
                frame = self._frames.pop(0)
                if not isinstance(frame, Tell):
                    return frame
                self.told.append(frame.args)
            data = self._channel.recv(1 << 16)
            if not data:
                raise EOFError
            self._frames += self._decoder.feed(data)

    def call(self, name: str, /, **args: Any) -> Any:
        """Call and return the answer, or the refusal."""
        number = self.begin(name, **args)
        frame = self.next()
        assert isinstance(frame, Answer | Refusal), frame
        assert frame.id == number
        return frame.value if isinstance(frame, Answer) else frame

    def start(self, **declared: Any) -> Any:
        """Start it as the manifest of a test would."""
        nothing: dict[str, Any] = {
            "app": "anapp",
            "version": "1.0.0",
            "permissions": [],
            "commands": [],
            "endpoints": [],
            "settings": {},
        }
        return self.call("start", **(nothing | declared))


@contextmanager
def running(folder: Path, package: str, *, ends_with: int = 0) -> Iterator[Process]:
    """The process of the app in a folder, not started yet; it ends when its socket is closed."""
    ours, theirs = socket.socketpair()
    arguments = ["-I", "-m", "hubbub.apps.host", str(theirs.fileno()), str(folder), package]
    child = subprocess.Popen(
        [sys.executable, *arguments],
        pass_fds=[theirs.fileno()],
        env={},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    theirs.close()
    try:
        with ours:
            yield Process(ours)
        assert child.wait(_DEADLINE) == ends_with
    finally:
        if child.poll() is None:
            child.kill()
        child.communicate()
