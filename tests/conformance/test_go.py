"""Conformance: the Go SDK, whose bots never log in again after a cut."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from hubbub.ids import random_id
from tests.conformance.conftest import Running
from tests.conformance.processes import children_running

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(300)]

HERE = Path(__file__).parent / "clients" / "go"


def _go() -> str:
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        pytest.skip("Go is not on this machine")
    return found


@pytest.fixture(scope="session")
def go_client() -> Path:
    """The scenario as a program, built once and kept between runs."""
    go = _go()
    sources = b"".join((HERE / name).read_bytes() for name in ("main.go", "go.mod", "go.sum"))
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    program = root / "hubbub" / f"go-client-{hashlib.sha256(sources).hexdigest()[:12]}"
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        built = subprocess.run(
            [go, "build", "-o", str(program), "."],
            cwd=HERE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
        )
        assert built.returncode == 0, built.stdout
    return program


def test_083_and_094_bots_on_the_go_sdk(hubbub: Running, go_client: Path) -> None:
    """Every function of its realtime part; after kill -9 of the streamers its bots send and hear
    without a login."""
    told: list[str] = []
    with subprocess.Popen(
        [str(go_client), hubbub.url, random_id(8).lower()],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        for line in client.stdout:
            told.append(line)
            if line.startswith("KILL STREAMERS"):
                for pid in children_running(hubbub, "ddp-streamer"):
                    os.kill(pid, signal.SIGKILL)
                client.stdin.write("done\n")
                client.stdin.flush()
    text = "".join(told)

    assert client.returncode == 0, text
    assert "FAIL" not in text, text
    assert text.rstrip().endswith("done"), text
