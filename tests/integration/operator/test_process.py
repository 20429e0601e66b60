"""The whole operator: `hubbub run operator` with kopf in it, against an API server and NATS."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from hubbub.bus import BusSettings, NatsBus
from services.operator.rights import RIGHTS
from tests.integration.operator.fake_api import NAMESPACE, FakeApi, serving
from tests.integration.operator.fake_engine import FakeEngine, package
from tests.integration.operator.fleet import Fleet
from tests.waiting import eventually

pytestmark = pytest.mark.integration

REPORT_INTERVAL = 0.1


@dataclass
class Operator:
    """One operator process."""

    process: asyncio.subprocess.Process
    output: Path

    async def kill(self) -> None:
        """Without a warning."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def stop(self) -> int:
        """Politely; returns the exit status."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            return await self.process.wait()

    def log(self) -> str:
        """What it wrote so far."""
        return self.output.read_text()

    async def ops_url(self) -> str:
        """Address of its operations port."""
        found = await eventually(
            lambda: re.search(r'"port":(\d+)[^\n]*"ops_listening"', self.log()), within=20
        )
        return f"http://127.0.0.1:{found[1]}"


@dataclass
class Site:
    """A cluster with streamers on NATS, and operators in processes of their own."""

    api: FakeApi
    fleet: Fleet
    folder: Path
    nats_url: str
    started: list[Operator] = field(default_factory=list)
    engine: FakeEngine = field(default_factory=FakeEngine)

    async def operator(self) -> Operator:
        """One that has listed the pools."""
        output = self.folder / f"operator-{len(self.started)}.log"
        environment = os.environ | {
            "HUBBUB_NATS_URL": self.nats_url,
            "HUBBUB_OPS_PORT": "0",
            "HUBBUB_LOG_FORMAT": "json",
            "HUBBUB_OPERATOR_API_URL": self.api.url,
            "HUBBUB_OPERATOR_ACCOUNT_FOLDER": str(self.folder / "account"),
            "HUBBUB_OPERATOR_NAMESPACE": NAMESPACE,
            "HUBBUB_OPERATOR_INTERVAL": "0.1",
            "HUBBUB_OPERATOR_PATCH_INTERVAL": "0.01",
        }
        with output.open("wb") as written:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "hubbub.cli.main",
                "run",
                "operator",
                env=environment,
                stdout=written,
                stderr=written,
            )
        made = Operator(process, output)
        self.started.append(made)
        await eventually(lambda: "service_ready" in made.log(), within=30, what=made.log())
        return made


@asynccontextmanager
async def site(nats_url: str, folder: Path) -> AsyncIterator[Site]:
    """A cluster without anything in it."""
    async with AsyncExitStack() as stack, serving(FakeApi()) as api:

        async def bus_of(instance: str) -> NatsBus:
            bus = NatsBus(BusSettings(nats_url=nats_url), service="ddp-streamer", instance=instance)
            await bus.connect()
            stack.push_async_callback(bus.close)
            return bus

        fleet = Fleet(api, bus_of)
        made = Site(api, fleet, folder, nats_url)
        bus = NatsBus(
            BusSettings(nats_url=nats_url), service="apps-engine", instance="apps-engine-test"
        )
        await bus.connect()
        stack.push_async_callback(bus.close)
        await bus.serve(made.engine)

        async def keep_reporting() -> None:
            while True:
                await fleet.follow()
                await fleet.report()
                await asyncio.sleep(REPORT_INTERVAL)

        reporting = asyncio.create_task(keep_reporting())
        try:
            yield made
        finally:
            reporting.cancel()
            await asyncio.wait([reporting])
            for operator in made.started:
                if operator.process.returncode is None:
                    await operator.kill()


async def populated(site: Site, **connections: int) -> None:
    """A deployment with these connections on its pods."""
    site.api.make_deployment(len(connections))
    await eventually(lambda: len(site.fleet.by_pod) == len(connections))
    site.fleet.hold(**connections)


async def test_killed_in_the_middle_of_a_scale_in(nats_url: str, tmp_path: Path) -> None:
    """The next one finishes it: the same pods go, when they are empty."""
    async with site(nats_url, tmp_path) as world:
        await populated(world, streamer_1=400, streamer_2=30, streamer_3=500, streamer_4=10)
        world.api.make_pool(mode="Manage", replicas=4)
        first = await world.operator()
        await eventually(lambda: world.api.status().get("appliedReplicas") == 4)
        world.api.change_pool(replicas=2)
        await eventually(lambda: world.fleet.draining == ["streamer-2", "streamer-4"], within=20)
        await first.kill()

        world.fleet.empty_draining()
        await world.operator()
        await eventually(lambda: world.api.replicas == 2, within=20)

        assert sorted(world.api.deleted) == ["streamer-2", "streamer-4"]
        assert world.fleet.cut == {"streamer-2": 0, "streamer-4": 0}
        assert "ManualScaleAdopted" not in world.api.reasons()


async def test_every_request_has_a_right_and_every_right_a_request(
    nats_url: str, tmp_path: Path
) -> None:
    """A pool is advised, managed, scaled by hand, and deleted; an app is installed and removed.
    Beyond the list of rights only the lists of API groups are read, which everybody may."""
    async with site(nats_url, tmp_path) as world:
        await populated(world, streamer_1=400, streamer_2=30, streamer_3=500)
        operator = await world.operator()
        world.api.make_pool()
        await eventually(lambda: world.api.cost("streamer-3") == 10, within=20)
        world.api.change_pool(mode="Manage", replicas=3)
        await eventually(lambda: world.api.status().get("appliedReplicas") == 3, within=20)
        world.api.change_pool(replicas=2)
        await eventually(lambda: world.fleet.draining == ["streamer-2"], within=20)
        world.fleet.empty_draining()
        await eventually(lambda: world.api.replicas == 2, within=20)
        await eventually(lambda: world.api.status().get("appliedReplicas") == 2, within=20)
        world.api.kubectl_scale(4)
        await eventually(lambda: "ManualScaleAdopted" in world.api.reasons(), within=20)
        world.api.delete_pool()
        await eventually(lambda: '"object_gone"' in operator.log(), within=20)
        await through_the_life_of_an_app(world)

        granted = {(verb, right.group, right.resource) for right in RIGHTS for verb in right.verbs}
        assert world.api.refused == []
        assert set(world.api.requests) == granted
        assert await operator.stop() == 0
        assert "Traceback" not in operator.log()
        assert '"level":"error"' not in operator.log()


async def through_the_life_of_an_app(world: Site) -> None:
    """It is declared, changed, and deleted; the engine follows each time, and at once."""
    apps = world.api.declared
    apps.config_map(package())
    apps.secret("keys", key="s3cret")
    apps.make(settingsSecretRef={"name": "keys"})
    await eventually(lambda: apps.status().get("phase") == "Enabled", within=20)
    apps.change(enabled=False)
    await eventually(lambda: apps.status().get("phase") == "Disabled", within=20)
    apps.delete()
    await eventually(lambda: not apps.objects, within=20)
    assert world.engine.apps == {}
    assert world.engine.calls == ["install", "disable", "remove"]


async def test_an_app_outlives_its_operator(nats_url: str, tmp_path: Path) -> None:
    """Killed while it installs one: the next operator finds what is lacking."""
    async with site(nats_url, tmp_path) as world:
        world.api.declared.config_map(package())
        first = await world.operator()
        installing = asyncio.Event()

        def begins(action: str) -> None:
            installing.set()

        world.engine.before = begins
        world.api.declared.make(settings={"word": "a"})
        await asyncio.wait_for(installing.wait(), 20)
        await first.kill()
        await world.operator()
        status = world.api.declared.status
        await eventually(lambda: status().get("phase") == "Enabled", within=20)

        assert world.engine.apps["echo"].settings == {"word": "a"}
        assert status()["observedGeneration"] == 1


async def test_what_the_operations_port_says(nats_url: str, tmp_path: Path) -> None:
    """Alive as long as the watch is heard and passes end; its meters."""
    async with site(nats_url, tmp_path) as world, aiohttp.ClientSession() as session:
        await populated(world, streamer_1=300, streamer_2=100)
        world.api.make_pool()
        operator = await world.operator()
        url = await operator.ops_url()
        await eventually(lambda: world.api.status().get("imbalance") == "1.50", within=20)

        async def checks() -> list[str]:
            async with session.get(url + "/livez") as answer:
                assert answer.status == 200
                return [check["name"] for check in (await answer.json())["checks"]]

        async def settled() -> bool:
            return {"watch", "reconcile"} <= set(await checks())

        await eventually(settled, within=10)
        async with session.get(url + "/readyz") as answer:
            assert answer.status == 200
        async with session.get(url + "/metrics") as answer:
            metrics = await answer.text()
        assert "hubbub_operator_imbalance_ratio 1.5" in metrics
        assert re.search(
            r'hubbub_operator_reconciles_total{kind="StreamerPool",outcome="ok"} [1-9]', metrics
        )
        age = re.search(r'hubbub_operator_watch_age_seconds{kind="StreamerPool"} (\S+)', metrics)
        assert age is not None
        assert float(age[1]) < 5


async def test_without_kubernetes_it_says_what_is_missing(nats_url: str, tmp_path: Path) -> None:
    """In one line, with status 1."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "KUBECONFIG"},
        "HOME": str(tmp_path),
        "HUBBUB_NATS_URL": nats_url,
        "HUBBUB_OPS_PORT": "0",
        "HUBBUB_LOG_FORMAT": "json",
        "HUBBUB_OPERATOR_ACCOUNT_FOLDER": str(tmp_path),
    }
    environment.pop("KUBERNETES_SERVICE_HOST", None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hubbub.cli.main", "run", "operator"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        output, _ = await process.communicate()

    assert process.returncode == 1
    assert b"neither a service account nor a kubeconfig" in output
    assert b"Traceback" not in output
