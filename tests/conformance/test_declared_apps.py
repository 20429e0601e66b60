"""Apps as a cluster's operator declares them: its calls, with its key, at a running engine."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from hubbub.apps.packing import pack
from hubbub.bus import BusSettings, NatsBus
from hubbub.contracts.apps import (
    InvalidAppSettings,
    InvalidPackage,
    PermissionsNotGranted,
)
from hubbub.contracts.provisioning import AppOfAnother, AppTerms
from services.operator.engine import AppsEngine
from tests.conformance.conftest import Running
from tests.conformance.rest import Rest, User

pytestmark = pytest.mark.conformance

OWNER = "chat/declared"
APP = "declared"
DISABLED = {"status": "manually_disabled"}
TERMS = AppTerms(owner=OWNER, app_id=APP, permissions=["command", "notify"])

MANIFEST = """
id = "{app}"
name = "Declared"
version = "{version}"
permissions = {permissions}

[commands.declared]

[settings.limit]
type = "number"
default = 1

[settings.word]
type = "string"
"""

CODE = """
from hubbub.apps import App

app = App()


@app.command("declared")
async def declared(command):
    await command.reply(f"{app.settings['limit']} {app.settings['word']}")
"""


def package(
    folder: Path, version: str = "1.0.0", permissions: Sequence[str] = ("command",)
) -> bytes:
    """A packed app."""
    code = folder / APP
    code.mkdir(parents=True, exist_ok=True)
    text = MANIFEST.format(app=APP, version=version, permissions=[*permissions])
    (folder / "app.toml").write_text(text)
    (code / "__init__.py").write_text(CODE)
    return pack(folder)


@pytest.fixture
async def bus(hubbub: Running) -> AsyncIterator[NatsBus]:
    """The operator's connection, with the rights that it has in a cluster."""
    environment = hubbub.bus_environment
    settings = BusSettings(
        nats_url=environment["HUBBUB_NATS_URL"], nats_keys=Path(environment["HUBBUB_NATS_KEYS"])
    )
    made = NatsBus(settings, service="operator", instance="operator-test")
    await made.connect()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def engine(bus: NatsBus, rest: Rest, admin: User) -> AsyncIterator[AppsEngine]:
    """The engine; the app is gone at the end."""
    yield AppsEngine(bus)
    await rest.ask("DELETE", f"/api/apps/{APP}", user=admin)


async def test_an_app_is_kept_as_it_is_declared(engine: AppsEngine, tmp_path: Path) -> None:
    """Installed, set, upgraded, switched, removed; each of it twice."""
    assert await engine.find(APP) is None
    data = package(tmp_path)
    found = await engine.install(data, TERMS, {"word": "a", "limit": "7"}, enable=True)
    assert found == await engine.find(APP)
    assert (found.owner, found.version, found.engine) == (OWNER, "1.0.0", "running")
    assert found.permissions == {"command"}

    for _ in range(2):
        assert await engine.configure(OWNER, APP, {"limit": 3}) == found
    with pytest.raises(InvalidAppSettings):
        await engine.configure(OWNER, APP, {"unknown": 3})
    for on, state in ((False, "disabled"), (False, "disabled"), (True, "running")):
        assert (await engine.switch(OWNER, APP, on=on)).engine == state

    again = await engine.install(package(tmp_path, "1.1.0"), TERMS, {"limit": 3}, enable=True)
    assert (again.version, again.owner) == ("1.1.0", OWNER)
    assert again.digest != found.digest

    await engine.remove(OWNER, APP)
    await engine.remove(OWNER, APP)
    assert await engine.find(APP) is None


async def test_what_is_declared_is_what_is_set(
    engine: AppsEngine, rest: Rest, admin: User, tmp_path: Path
) -> None:
    """Values that are not named any more have their defaults again; administrators see it all."""
    await engine.install(package(tmp_path), TERMS, {"word": "a", "limit": "7"}, enable=True)

    async def values() -> dict[str, object]:
        answer = await rest.ask("GET", f"/api/apps/{APP}/settings", user=admin)
        return {name: one.get("value") for name, one in answer.body["settings"].items()}

    assert await values() == {"limit": 7, "word": "a"}
    await engine.configure(OWNER, APP, {"word": "b"})
    assert await values() == {"limit": 1, "word": "b"}
    await engine.install(package(tmp_path, "1.1.0"), TERMS, {"limit": 2}, enable=True)
    assert await values() == {"limit": 2, "word": None}


async def test_what_does_not_keep_to_its_terms_is_refused(
    engine: AppsEngine, tmp_path: Path
) -> None:
    """In words for people; nothing is left of it."""
    asks = package(tmp_path, permissions=("command", "room.create"))
    with pytest.raises(PermissionsNotGranted, match=r"room\.create"):
        await engine.install(asks, TERMS, {}, enable=True)
    data = package(tmp_path)
    for data_, terms in (
        (b"nonsense", TERMS),
        (data, TERMS.model_copy(update={"version": "2.0.0"})),
        (data, TERMS.model_copy(update={"app_id": "another"})),
    ):
        with pytest.raises(InvalidPackage):
            await engine.install(data_, terms, {}, enable=True)
    assert await engine.find(APP) is None


async def test_nobody_takes_an_app_of_another(
    engine: AppsEngine, rest: Rest, admin: User, tmp_path: Path
) -> None:
    """Of another declaration, or of the administrators; these may take one."""
    data = package(tmp_path)
    found = await engine.install(data, TERMS, {}, enable=True)
    others = TERMS.model_copy(update={"owner": "chat/other"})
    with pytest.raises(AppOfAnother, match=OWNER):
        await engine.install(data, others, {}, enable=True)
    for call in (
        engine.configure("chat/other", APP, {}),
        engine.switch("chat/other", APP, on=False),
        engine.remove("chat/other", APP),
    ):
        with pytest.raises(AppOfAnother):
            await call

    answer = await rest.ask("POST", f"/api/apps/{APP}/status", user=admin, body=DISABLED)
    assert answer.status == 200
    assert await engine.find(APP) == replace(found, engine="disabled")
