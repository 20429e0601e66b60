"""A process starts, tells how it is, and ends with the right status and a reason."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hubbub.runtime.ops import _is_loopback
from tests.waiting import eventually

SCRIPT = Path(__file__).with_name("processes.py")


class Running:
    """One process under test, and the lines it logs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []
        self.errors = ""

    async def logged(self, event: str) -> dict[str, Any]:
        """Wait for a line of the log."""
        found = await eventually(
            lambda: [line for line in self.lines if line["msg"] == event],
            within=10,
            what=f"it logs {event}",
        )
        return found[-1]

    async def ended(self) -> int:
        async with asyncio.timeout(10):
            return await self.process.wait()

    async def listen(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.lines.append(json.loads(line))

    async def listen_for_errors(self) -> None:
        assert self.process.stderr is not None
        self.errors = (await self.process.stderr.read()).decode()


@asynccontextmanager
async def running(name: str, **environment: str) -> AsyncIterator[Running]:
    """Run one of the services of `processes.py`."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        name,
        env={**os.environ, "HUBBUB_OPS_PORT": "0", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    service = Running(process)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(service.listen())
        tasks.create_task(service.listen_for_errors())
        try:
            yield service
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_one_signal_asks(number: signal.Signals) -> None:
    """The service ends by itself, with status 0."""
    async with running("obedient") as service:
        await service.logged("ops_listening")
        service.process.send_signal(number)

        assert await service.ended() == 0
        assert (await service.logged("stopping"))["by"] == number.name
        await service.logged("service_stopped")


async def test_a_second_signal_leaves_two_seconds() -> None:
    """Whoever insists does not wait for the whole drain, but what is nearly done gets done."""
    async with running("stubborn") as service:
        await service.logged("ops_listening")
        service.process.send_signal(signal.SIGTERM)
        await service.logged("stopping")
        begun = time.monotonic()
        service.process.send_signal(signal.SIGTERM)

        assert await service.ended() == 1
        assert 1.5 < time.monotonic() - begun < 20
        await service.logged("hurrying")
        await service.logged("hurried_drain_cancelled")


async def test_a_third_signal_ends_it_at_once() -> None:
    async with running("stubborn") as service:
        await service.logged("ops_listening")
        for line in ("stopping", "hurrying", "stopping_at_once"):
            service.process.send_signal(signal.SIGTERM)
            await service.logged(line)

        assert await service.ended() == 1
        await service.logged("service_cancelled")


async def test_a_service_may_hurry_by_itself() -> None:
    """Then nobody but the drain deadline cancels it."""
    async with running("hurrying", HUBBUB_DRAIN_DEADLINE="20") as service:
        await service.logged("ops_listening")
        service.process.send_signal(signal.SIGTERM)
        await service.logged("stopping")
        service.process.send_signal(signal.SIGTERM)

        assert await service.ended() == 0


async def test_the_drain_has_a_deadline() -> None:
    """A drain that takes longer than allowed is cancelled without being asked again."""
    async with running("stubborn", HUBBUB_DRAIN_DEADLINE="0.2") as service:
        await service.logged("ops_listening")
        service.process.send_signal(signal.SIGTERM)

        assert await service.ended() == 1
        await service.logged("drain_deadline_passed")


async def test_a_task_that_dies_ends_the_process() -> None:
    """Half a service never lingers; the traceback is in the log."""
    async with running("failing") as service:
        assert await service.ended() == 1
        line = await service.logged("service_failed")
        assert "the reason" in json.dumps(line["exception"])


async def test_a_wrong_setting_ends_the_process_with_one_line() -> None:
    """Status 2, one line on standard error, no traceback, wherever the setting was read."""
    async with running("misconfigured") as service:
        assert await service.ended() == 2
        await eventually(lambda: service.errors)
        assert service.errors == "hubbub: HUBBUB_X: expected a, found b\n"
        assert not [line for line in service.lines if line["level"] == "error"]


async def test_a_wrong_setting_of_the_process_itself() -> None:
    """The settings of every process are checked before anything else."""
    async with running("obedient", HUBBUB_OPS_PORT="99999") as service:
        assert await service.ended() == 2
        await eventually(lambda: service.errors)
        assert service.errors == (
            "hubbub: HUBBUB_OPS_PORT: input should be less than or equal to 65535; found '99999'\n"
        )


async def test_a_taken_ops_port_is_said() -> None:
    """One line that names the variable, no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        async with running("obedient", HUBBUB_OPS_PORT=port) as service:
            assert await service.ended() == 1
            line = await service.logged("service_cannot_start")
            assert port in line["reason"]
            assert "HUBBUB_OPS_PORT" in line["reason"]


async def test_a_service_may_be_finished() -> None:
    """Returning without being asked is a clean end."""
    async with running("finished") as service:
        assert await service.ended() == 0


@pytest.mark.parametrize(
    ("name", "environment"),
    [
        pytest.param(
            "without_database",
            {"HUBBUB_MONGO_URL": "mongodb://user:hunter2@127.0.0.1:9/hubbub"},
            id="mongo",
        ),
        pytest.param(
            "without_bus", {"HUBBUB_NATS_URL": "nats://user:hunter2@127.0.0.1:9"}, id="nats"
        ),
    ],
)
async def test_a_missing_server_is_waited_for(name: str, environment: dict[str, str]) -> None:
    """The process says what it waits for, without credentials, and can still be stopped."""
    if name == "without_database":
        environment = {**environment, "HUBBUB_MONGO_SERVER_SELECTION_TIMEOUT": "0.2"}
    async with running(name, **environment) as service:
        await eventually(
            lambda: [line for line in service.lines if line["level"] == "warning"],
            within=10,
            what="it complains",
        )
        service.process.send_signal(signal.SIGTERM)

        assert await service.ended() == 0
        assert "hunter2" not in json.dumps(service.lines)
        assert "hunter2" not in service.errors


async def test_the_parent_of_a_child_matters() -> None:
    """A process whose named parent is gone ends by itself."""
    async with running("obedient", HUBBUB_PARENT_PID="1") as service:
        assert await service.ended() in {0, -signal.SIGTERM}


async def test_probes_and_metrics() -> None:
    """The operations port tells whether it is started, alive and ready, and what it counts."""
    async with running("obedient") as service, aiohttp.ClientSession() as session:
        port = (await service.logged("ops_listening"))["port"]
        url = f"http://127.0.0.1:{port}"

        for probe in ("startupz", "livez", "readyz"):
            async with session.get(f"{url}/{probe}") as answer:
                assert answer.status == 200
                assert (await answer.json())["status"] == "ok"
        async with session.get(f"{url}/version") as answer:
            assert (await answer.json())["name"] == "obedient"
        async with session.get(f"{url}/metrics") as answer:
            text = await answer.text()
        assert "hubbub_build_info{" in text
        assert 'hubbub_up_state{state="serving"} 1.0' in text
        assert "process_resident_memory_bytes" in text
        assert "hubbub_event_loop_lag_seconds_bucket" in text
        assert "_created" not in text


async def test_openmetrics_is_offered() -> None:
    """A scraper that asks for OpenMetrics gets it."""
    async with running("obedient") as service, aiohttp.ClientSession() as session:
        port = (await service.logged("ops_listening"))["port"]
        headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
        async with session.get(f"http://127.0.0.1:{port}/metrics", headers=headers) as answer:
            assert answer.content_type == "application/openmetrics-text"
            assert (await answer.text()).endswith("# EOF\n")


async def test_a_drain_can_be_asked_for() -> None:
    """POST /drain is the first SIGTERM; a second one is told so."""
    async with running("stubborn") as service, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{(await service.logged('ops_listening'))['port']}"

        async with session.post(f"{url}/drain", data=b'{"window": "long"}') as answer:
            assert answer.status == 400
        for wrong in (b"3", b"[", b'{"window": true}', b'{"window": -1}'):
            async with session.post(f"{url}/drain", data=wrong) as answer:
                assert answer.status == 400
        async with session.post(f"{url}/drain", data=b'{"window": 3}') as answer:
            assert answer.status == 202
        assert (await service.logged("stopping"))["window"] == 3
        async with session.post(f"{url}/drain") as answer:
            assert answer.status == 409
        async with session.get(f"{url}/readyz") as answer:
            assert answer.status == 503
            assert (await answer.json())["checks"][0]["detail"] == "draining"
        async with session.get(f"{url}/livez") as answer:
            assert answer.status == 200


async def test_only_this_machine_asks_for_a_drain() -> None:
    """The port may be open to a cluster; what changes a process is not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has only a loopback address")
        address = probe.getsockname()[0]
    async with (
        running("obedient", HUBBUB_OPS_HOST="0.0.0.0") as service,
        aiohttp.ClientSession() as session,
    ):
        port = (await service.logged("ops_listening"))["port"]
        for path in ("drain", "loglevel"):
            async with session.post(f"http://{address}:{port}/{path}") as answer:
                assert answer.status == 403
        async with session.get(f"http://{address}:{port}/readyz") as answer:
            assert answer.status == 200


async def test_the_detail_of_the_log_can_be_changed() -> None:
    """For good or for a while, by a request of this machine or by a signal."""
    async with running("talkative") as service, aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{(await service.logged('ops_listening'))['port']}/loglevel"

        def details() -> int:
            return sum(line["msg"] == "detail" for line in service.lines)

        async def change(body: bytes) -> int:
            async with session.post(url, data=body) as answer:
                return answer.status

        await eventually(lambda: [line for line in service.lines if line["msg"] == "news"])
        assert details() == 0
        assert await change(b'{"level": "loud"}') == 400
        assert await change(b'{"level": "debug", "seconds": "long"}') == 400
        assert await change(b'{"level": "debug"}') == 200
        await eventually(lambda: details() > 2)
        assert await change(b'{"level": "info"}') == 200

        def quiet() -> bool:
            return {line["msg"] for line in service.lines[-5:]} == {"news"}

        await eventually(quiet)
        assert [line for line in service.lines if line["msg"] == "log_level_changed"]
        told = details()
        service.process.send_signal(signal.SIGUSR2)
        await eventually(lambda: details() > told + 2)
        service.process.send_signal(signal.SIGUSR2)
        await eventually(quiet)
        told = details()
        assert await change(b'{"level": "debug", "seconds": 0.2}') == 200
        await eventually(lambda: details() > told + 2)
        await eventually(quiet)


async def test_what_it_is_doing_is_shown_only_where_that_is_wanted() -> None:
    """Where tasks stand, and whose connections are open; never what they hold."""
    async with running("talkative") as service, aiohttp.ClientSession() as session:
        port = (await service.logged("ops_listening"))["port"]
        for page in ("tasks", "connections"):
            async with session.get(f"http://127.0.0.1:{port}/debug/{page}") as answer:
                assert answer.status == 404
    async with (
        running("talkative", HUBBUB_OPS_DEBUG="true") as service,
        aiohttp.ClientSession() as session,
    ):
        port = (await service.logged("ops_listening"))["port"]
        await service.logged("news")
        async with session.get(f"http://127.0.0.1:{port}/debug/tasks") as answer:
            text = await answer.text()
        tasks = {task["name"]: task for task in json.loads(text)["tasks"]}
        assert "processes.py" in tasks["talk"]["at"]
        assert tasks["talk"]["coroutine"] == "talkative.<locals>.talk"
        assert "hunter2" not in text
        async with session.get(f"http://127.0.0.1:{port}/debug/connections") as answer:
            assert await answer.json() == {"connections": [{"id": "c1"}], "more": False}


@pytest.mark.parametrize(
    ("address", "here"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False),
        ("", False),
        (None, False),
    ],
)
def test_who_is_on_this_machine(address: str | None, here: bool) -> None:
    assert _is_loopback(address) is here
