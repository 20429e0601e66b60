"""`hubbub up` starts everything, keeps it running, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import sys
import time
from pathlib import Path

import aiohttp
import pytest

from hubbub.local.programs import free_port
from tests.e2e.launched import launched, small
from tests.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes in /proc"),
]

ALL = ("account", "ddp-streamer", "gateway", "stream-hub")
LIMIT = 10.0  # seconds that an end may take


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
async def test_a_signal_stops_everything(tmp_path: Path, number: signal.Signals) -> None:
    """One signal ends services and servers in order, within ten seconds, with status 0."""
    async with small(tmp_path, *ALL, servers=True) as hubbub:
        await hubbub.ready()
        assert len(hubbub.processes()) == 1 + len(ALL) + 3  # itself; door, mongod, nats-server
        began = time.monotonic()
        hubbub.process.send_signal(number)

        assert await hubbub.ended(within=LIMIT) == 0
        assert time.monotonic() - began < LIMIT
        assert hubbub.processes() == {}
        ends = [line.split()[0] for line in hubbub.said.splitlines() if "service_stopped" in line]
        order = [name for name in ends if name != "front-door"]
        assert order == ["ddp-streamer", "gateway", "account", "stream-hub"]


async def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    """After kill -9 of the supervisor every child ends by itself, servers included."""
    async with small(tmp_path, *ALL, servers=True) as hubbub:
        await hubbub.ready()
        hubbub.process.kill()
        await hubbub.process.wait()

        await eventually(lambda: not hubbub.processes(), within=LIMIT)


async def test_nothing_outlives_a_supervisor_killed_at_its_start(tmp_path: Path) -> None:
    """The same holds while the services are still importing their modules."""
    async with small(tmp_path, *ALL) as hubbub:
        await eventually(lambda: len(hubbub.processes()) >= 1 + len(ALL), within=20)
        hubbub.process.kill()
        await hubbub.process.wait()

        await eventually(lambda: not hubbub.processes(), within=LIMIT)


async def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Who insists does not wait for a service that is still draining."""
    async with small(tmp_path, "slow") as hubbub:
        await hubbub.ready()
        hubbub.process.send_signal(signal.SIGINT)
        await hubbub.says("stopping by=SIGTERM")
        began = time.monotonic()
        hubbub.process.send_signal(signal.SIGINT)

        await hubbub.ended(within=LIMIT)
        assert time.monotonic() - began < LIMIT
        assert hubbub.processes() == {}


async def test_a_service_that_does_not_end_is_ended(tmp_path: Path) -> None:
    """A drain that never finishes does not hold up the end of everything."""
    async with small(tmp_path, "slow") as hubbub:
        await hubbub.ready()
        hubbub.process.send_signal(signal.SIGINT)

        assert await hubbub.ended(within=LIMIT) == 0
        assert hubbub.processes() == {}


async def test_a_taken_port_is_said(tmp_path: Path) -> None:
    """Nothing is started when the front door has no port; the message says what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with small(tmp_path, *ALL, port=port) as hubbub:
            assert await hubbub.ended(within=LIMIT) == 1
            assert f"port {port} of 127.0.0.1 cannot be had" in hubbub.said
            assert "--port" in hubbub.said
            assert "Traceback" not in hubbub.said


async def test_a_second_one_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Two Hubbubs never share a folder; the message names the one that has it."""
    async with small(tmp_path, "account") as first:
        await first.ready()
        async with small(tmp_path, "account") as second:
            assert await second.ended(within=LIMIT) == 1
            assert f"is in use by process {first.process.pid}" in second.said
        assert first.process.returncode is None


async def test_the_folder_is_free_again_after_a_kill(tmp_path: Path) -> None:
    """A lock does not survive its owner."""
    async with small(tmp_path, "account") as first:
        await first.ready()
        first.process.kill()
        await eventually(lambda: not first.processes(), within=LIMIT)
    async with small(tmp_path, "account") as second:
        await second.ready()


async def test_a_killed_service_is_started_again(tmp_path: Path) -> None:
    """A death is said and cured; a request that comes meanwhile waits for the new process."""
    async with small(tmp_path, *ALL) as hubbub, aiohttp.ClientSession() as session:
        await hubbub.ready()
        os.kill(hubbub.pid_of("gateway"), signal.SIGKILL)
        await hubbub.says("gateway was ended by SIGKILL; it is started again")

        async with session.get(f"{hubbub.url}/api/info") as answer:
            assert answer.status == 200


async def test_a_killed_server_is_started_again(tmp_path: Path) -> None:
    """The database comes back on the same port, with its data."""
    async with small(tmp_path, "account", servers=True) as hubbub:
        await hubbub.ready()
        os.kill(hubbub.pid_of("mongod"), signal.SIGKILL)
        await hubbub.says("mongod ended with status -9; it is started again")

        summary = next(line for line in hubbub.said.splitlines() if line.startswith("  mongod "))
        host, _, port = summary.split()[-1].partition(":")
        await eventually(lambda: _answers(host, int(port)), within=20)


async def test_a_handshake_waits_for_a_streamer(tmp_path: Path) -> None:
    """Clients that never try again after a refusal are not refused while a streamer restarts."""
    async with small(tmp_path, *ALL) as hubbub, aiohttp.ClientSession() as session:
        await hubbub.ready()
        os.kill(hubbub.pid_of("ddp-streamer"), signal.SIGKILL)

        async with asyncio.timeout(15):
            socket = await session.ws_connect(f"{hubbub.url}/websocket")
            hello = await socket.receive_json()
        assert hello["for"] == "127.0.0.1"
        await socket.send_str("there?")
        assert await socket.receive_str() == "there?"
        await socket.close()


async def test_without_a_gateway_the_door_says_503(tmp_path: Path) -> None:
    """A request that nobody can take is refused in the shape that REST clients know."""
    async with small(tmp_path, "account") as hubbub, aiohttp.ClientSession() as session:
        await hubbub.ready()

        async with session.get(f"{hubbub.url}/api/v1/info") as answer:
            assert answer.status == 503
            assert answer.headers["Retry-After"]
            assert await answer.json() == {"success": False, "error": "Service Unavailable"}


async def test_clients_are_told_when_everything_stops(tmp_path: Path) -> None:
    """A streamer's close frame reaches the client through the door."""
    async with small(tmp_path, *ALL) as hubbub, aiohttp.ClientSession() as session:
        await hubbub.ready()
        socket = await session.ws_connect(f"{hubbub.url}/websocket")
        await socket.receive_json()
        hubbub.process.send_signal(signal.SIGTERM)

        message = await socket.receive(timeout=LIMIT)
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1012)
        assert await hubbub.ended(within=LIMIT) == 0


async def test_a_sick_service_does_not_stop_the_others(tmp_path: Path) -> None:
    """It is started again and again, later and later, and its log is named."""
    async with small(tmp_path, "sick", "account") as hubbub:
        await hubbub.says("sick ended with status 1; it is started again in 0.5 s")
        await hubbub.says("sick ended with status 1; it is started again in 1 s")

        log = hubbub.data / "log" / "sick.log"
        assert str(log) in hubbub.said
        assert "RuntimeError" in log.read_text()
        assert hubbub.process.returncode is None


async def test_wrong_settings_stop_everything(tmp_path: Path) -> None:
    """What starting again cannot cure ends with status 2 and names the variable."""
    environment = {"HUBBUB_LOG_LEVEL": "loud"}
    async with small(tmp_path, "account", environment=environment) as hubbub:
        assert await hubbub.ended(within=20) == 2
        assert "HUBBUB_LOG_LEVEL" in hubbub.said
        assert "'loud'" in hubbub.said


async def test_the_password_is_made_once_and_kept_private(tmp_path: Path) -> None:
    """The first administrator's password stays the same, in a file of its owner alone."""
    file = tmp_path / "data" / "admin-password"
    passwords = []
    for _ in range(2):
        async with small(tmp_path, "account") as hubbub:
            await hubbub.ready()
            passwords.append(file.read_text())
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert passwords[-1].strip() not in hubbub.said  # this output is no terminal

    assert passwords[0] == passwords[1]


async def test_a_missing_server_program_is_said(tmp_path: Path) -> None:
    """A server that cannot start names its log; here its data folder is a file."""
    (tmp_path / "data" / "mongo").mkdir(parents=True)
    (tmp_path / "data" / "mongo" / "data").write_text("in the way")
    async with small(tmp_path, "account", servers=True) as hubbub:
        assert await hubbub.ended(within=20) == 1
        assert "the folder" in hubbub.said
        assert "Traceback" not in hubbub.said


async def test_the_command_line_runs_a_part(tmp_path: Path) -> None:
    """`--services` refuses names that do not exist, with status 2."""
    command = [
        sys.executable, "-m", "hubbub.cli.main", "up", "--services", "acount",
        "--data", str(tmp_path / "data"), "--port", str(free_port()),
    ]  # fmt: skip
    async with launched(command, tmp_path, port=0) as hubbub:
        assert await hubbub.ended(within=20) == 2
        assert "no service acount" in hubbub.said


async def _answers(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
