"""Conformance: npm clients nobody here wrote, in a Node process each."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.conformance.conftest import Running
from tests.conformance.processes import children_running

pytestmark = [pytest.mark.conformance, pytest.mark.timeout(240)]

HERE = Path(__file__).parent / "clients"


@pytest.fixture(scope="session")
def clients() -> Path:
    """A folder with the scenarios and the installed clients, kept between runs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not on this machine")
    wanted = (HERE / "package.json").read_bytes()
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = root / "hubbub" / f"npm-clients-{hashlib.sha256(wanted).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in HERE.iterdir():
        shutil.copy(file, folder / file.name)
    if not (folder / "installed").exists():
        subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--silent"],
            cwd=folder,
            check=True,
            timeout=180,
        )
        (folder / "installed").touch()
    return folder


@pytest.mark.parametrize("client", ["sdk0", "sdk1", "simpleddp", "ddp"])
def test_080_real_clients_talk(hubbub: Running, clients: Path, client: str) -> None:
    """Sign in, talk, edit, delete, type, be refused; come back after kill -9 of the streamers."""
    with subprocess.Popen(
        ["node", "run.mjs", client, hubbub.url],
        cwd=clients,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as node:
        assert node.stdin is not None
        assert node.stdout is not None
        told = []
        for line in node.stdout:
            told.append(line)
            if line.startswith("KILL STREAMERS"):
                for pid in children_running(hubbub, "ddp-streamer"):
                    os.kill(pid, signal.SIGKILL)
                node.stdin.write("done\n")
                node.stdin.flush()
        text = "".join(told)

    assert node.returncode == 0, text
    assert "FAIL" not in text, text
    assert text.strip().endswith("0 failed"), text
