"""Apps that are declared: as objects of the cluster, kept as they stand there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hubbub.apps.packing import pack
from tests.cluster.conftest import timed
from tests.cluster.declared import APP, EXAMPLE, KIND, Declared
from tests.cluster.kubernetes import CommandFailed
from tests.cluster.load import Doors
from tests.cluster.pools import with_operator
from tests.cluster.release import ADMIN, Release
from tests.cluster.report import Report
from tests.conformance.ddp import Ddp, opened
from tests.conformance.rest import Rest, User
from tests.waiting import eventually

ANSWERS_WITHIN = 60.0  # seconds
LOOK_EVERY = 1.0  # seconds
EMPTY = "You have no reminders."


@pytest.fixture
async def rest(doors: Doors) -> AsyncIterator[Rest]:
    """REST of the release."""
    async with aiohttp.ClientSession() as session:
        yield Rest(session, doors.gateway)


@pytest.fixture
async def admin(rest: Rest) -> User:
    """The release's administrator."""
    return await rest.login(*ADMIN)


@pytest.fixture
async def declared(release: Release) -> Declared:
    """The operator, with the right to read the Secret `reminders`."""
    return Declared(release.namespace)


@pytest.fixture
async def socket(doors: Doors, people: Sequence[User]) -> AsyncIterator[Ddp]:
    """A client that sees what only its user is shown."""
    url = doors.streamer.replace("http", "ws", 1) + "/websocket"
    async with opened(url) as client:
        await client.connect()
        await client.call("login", {"resume": people[0].token})
        await client.wait_ready(
            await client.subscribe("stream-notify-user", f"{people[0].id}/message", False)
        )
        yield client


async def test_an_example_is_installed_from_a_config_map(
    release: Release, declared: Declared, report: Report
) -> None:
    """With the permissions it asks for and a setting from a Secret."""
    await with_operator(release, managed=True, operator__apps__secrets="{reminders}")
    await declared.package(pack(EXAMPLE))
    await declared.namespace.kubectl("create", "secret", "generic", APP, "--from-literal=limit=1")
    async with timed(report, "kubectl apply of an app until it runs"):
        await declared.apply(settingsSecretRef={"name": APP})
        await declared.is_in("Enabled")

    status = await declared.status()
    assert {one["type"]: one["status"] for one in status["conditions"]} == dict.fromkeys(
        ("Installed", "Enabled", "PermissionsGranted", "Healthy"), "True"
    )
    shown = await declared.namespace.kubectl("get", "happ", APP, "--no-headers")
    assert shown.split()[:4] == [APP, "1.0.0", "true", "Enabled"]


async def test_a_client_uses_it(rest: Rest, people: Sequence[User], socket: Ddp) -> None:
    """Two reminders are one more than the Secret allows."""
    room = await _room(rest, people[0])
    for words, answer in (
        ("1h the oven", "I will remind you at"),
        ("2h lunch", "You have too many reminders"),
        ("cancel 1", "Cancelled: the oven"),
        ("list", EMPTY),
    ):
        await rest.post("commands.run", people[0], command="remind", params=words, roomId=room)
        await _whispered(socket, people[0], answer)


async def test_what_the_api_server_refuses(declared: Declared) -> None:
    """Another id, two sources or none."""
    holder = {"name": "x", "key": "x"}
    for spec in (
        {"appId": "another"},
        {"source": {"secret": holder}},
        {"source": {"configMap": None}},
    ):
        with pytest.raises(CommandFailed, match=r"cannot be changed|exactly one"):
            await declared.patch(**spec)


async def test_it_is_disabled_and_enabled_by_a_patch(
    rest: Rest, admin: User, declared: Declared, people: Sequence[User], socket: Ddp
) -> None:
    """And by nobody else: what an administrator does is put back."""
    await declared.patch(enabled=False)
    await declared.is_in("Disabled")
    assert await _status(rest, admin) == "manually_disabled"

    await declared.patch(enabled=True)
    await declared.is_in("Enabled")
    await _answers(rest, people[0], socket)

    body = {"status": "manually_disabled"}
    answer = await rest.ask("POST", f"/api/apps/{APP}/status", user=admin, body=body)
    assert answer.status == 200

    async def runs_again() -> bool:
        await asyncio.sleep(LOOK_EVERY)
        return await _status(rest, admin) == "manually_enabled"

    await eventually(runs_again, within=120.0, what="the operator has put it back")


async def test_a_new_package_is_an_upgrade(declared: Declared, tmp_path: Path) -> None:
    """One that is none is refused in the engine's words, and the version before runs on."""
    await declared.package(b"nonsense")
    await declared.patch(version="1.1.0")
    await declared.is_in("Failed")
    status = await declared.status()
    assert status["installedVersion"] == "1.0.0"
    assert "zip" in status["lastError"]

    await declared.package(pack(_of_version(tmp_path, "1.1.0")))
    await declared.is_in("Enabled", version="1.1.0", within=120.0)
    assert "lastError" not in await declared.status()
    events = await declared.reasons()
    assert {"Installed", "Upgraded", "Failed"} <= events


async def test_the_operator_may_die_while_an_app_goes(
    release: Release, rest: Rest, admin: User, declared: Declared
) -> None:
    """The object waits for the next one, which removes the app from the engine first."""
    await release.kill(await release.pods("operator"))
    await declared.namespace.kubectl("delete", "happ", APP, "--wait=false")
    await declared.is_gone()

    answer = await rest.ask("GET", f"/api/apps/{APP}", user=admin)
    assert answer.body["errorType"] == "error-app-not-found"


async def test_one_is_left_for_the_removal_of_the_release(
    rest: Rest, people: Sequence[User], declared: Declared, socket: Ddp
) -> None:
    """As it would be in real life; and one that waits for its package."""
    await declared.patch_package_back()
    await declared.apply(settingsSecretRef={"name": APP})
    await declared.is_in("Enabled")
    await _answers(rest, people[0], socket)
    await declared.apply(name="waits", appId="waits", source=_nowhere())
    await declared.is_in("Pending", name="waits")
    assert (
        len(json.loads(await declared.namespace.kubectl("get", KIND, "-o", "json"))["items"]) == 2
    )


def _nowhere() -> dict[str, Any]:
    return {"configMap": {"name": "nowhere", "key": "app.zip"}}


def _of_version(folder: Path, version: str) -> Path:
    """The example, as of another version."""
    for path in EXAMPLE.rglob("*"):
        if path.is_file() and path.suffix in (".py", ".toml") and "test_" not in path.name:
            copy = folder / path.relative_to(EXAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text().replace('version = "1.0.0"', f'version = "{version}"'))
    return folder


async def _room(rest: Rest, user: User) -> str:
    made = await rest.post("im.create", user, username=ADMIN[0])
    return str(made["room"]["_id"])


async def _answers(rest: Rest, user: User, socket: Ddp) -> None:
    before = len(socket.events("notify-user", f"{user.id}/message"))
    room = await _room(rest, user)

    async def asked() -> bool:
        await asyncio.sleep(LOOK_EVERY)
        body = {"command": "remind", "params": "list", "roomId": room}
        answer = await rest.ask("POST", "/api/v1/commands.run", user=user, body=body)
        return answer.status == 200

    await eventually(asked, within=ANSWERS_WITHIN, what="the command is known")
    await _whispered(socket, user, EMPTY, after=before)


async def _whispered(socket: Ddp, user: User, text: str, *, after: int = 0) -> None:
    def is_there() -> bool:
        events = socket.events("notify-user", f"{user.id}/message")[after:]
        return any(event[0]["msg"].startswith(text) for event in events)

    await eventually(is_there, within=ANSWERS_WITHIN, what=f"it says: {text}")


async def _status(rest: Rest, admin: User) -> str:
    """What administrators see of the app; empty while a busy machine gives no answer."""
    answer = await rest.ask("GET", f"/api/apps/{APP}", user=admin)
    status: str = answer.body.get("app", {}).get("status", "")
    return status
