"""Declared apps: what the engine has follows the objects, whatever happens in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import kopf
import pytest

from hubbub.bus import LocalBus
from hubbub.contracts.apps import AppStatus
from hubbub.errors import Unavailable
from services.operator.app import AppKeeper
from services.operator.engine import AppsEngine
from services.operator.kubernetes import ApiError, Cluster, connected
from services.operator.pools import NotYet
from services.operator.release import Released, release_from
from services.operator.resources import FINALIZER
from services.operator.rights import RELEASE_RIGHTS, RIGHTS
from tests.integration.operator.fake_api import NAMESPACE, FakeApi, Refused, Request, serving
from tests.integration.operator.fake_declared import DeclaredApps
from tests.integration.operator.fake_engine import FakeEngine, dies, package

pytestmark = pytest.mark.integration

CONDITIONS = ("Installed", "Enabled", "PermissionsGranted", "Healthy")


class World:
    """A cluster, an apps engine, and one operator over both."""

    def __init__(self, cluster: Cluster, api: FakeApi, bus: LocalBus) -> None:
        self.cluster = cluster
        self.api = api
        self.bus = bus
        self.engine = FakeEngine()

    @property
    def apps(self) -> DeclaredApps:
        return self.api.declared

    def state(self) -> AppStatus:
        """Where the engine has the app."""
        return self.engine.apps["echo"].status

    async def look(self, name: str = "echo") -> bool:
        """One pass of an operator that remembers nothing of the pass before."""
        return await AppKeeper(self.cluster, AppsEngine(self.bus)).look_after(name)

    async def dies_while(self, request: Request, *, after: bool = False) -> None:
        """A pass that ends at a request to the API server, before or after it took effect."""

        def die(one: Request) -> None:
            if one == request:
                raise Refused(500, "InternalError", "the operator ended here")

        setattr(self.api, "after" if after else "before", die)
        with pytest.raises(ApiError):
            await self.look()
        self.api.before = self.api.after = lambda _: None

    def says(self) -> dict[str, str]:
        """Condition → status."""
        return {kind: self.apps.condition(kind)[0] for kind in CONDITIONS}


@asynccontextmanager
async def served(*, engine: bool = True) -> AsyncIterator[World]:
    """A world with a package in a ConfigMap."""
    bus = LocalBus()
    async with serving(FakeApi(rights=RIGHTS + RELEASE_RIGHTS)) as api:
        access = kopf.ConnectionInfo(server=api.url)
        async with connected(
            lambda: access, namespace=NAMESPACE, identity="operator-test", timeout=5.0
        ) as cluster:
            made = World(cluster, api, bus)
            made.apps.config_map(package())
            if engine:
                await bus.serve(made.engine)
            try:
                yield made
            finally:
                await bus.close()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    """See `served`."""
    async with served() as made:
        yield made


async def test_an_app_is_installed_with_what_it_is_given(world: World) -> None:
    """Package, permissions, settings, a secret; and the status says so in every field."""
    world.apps.config_map(package("1.0.0", "command"))
    world.apps.secret("keys", key="s3cret")
    world.apps.make(
        permissions=["command"], settings={"limit": 3}, settingsSecretRef={"name": "keys"}
    )

    assert await world.look()

    app = world.engine.apps["echo"]
    assert (app.owner, app.version, app.status) == ("chat/echo", "1.0.0", AppStatus.ENABLED)
    assert app.settings == {"limit": 3, "key": "s3cret"}
    status = world.apps.status()
    assert status["phase"] == "Enabled"
    assert status["installedVersion"] == "1.0.0"
    assert status["observedGeneration"] == 1
    assert "lastError" not in status
    assert world.says() == dict.fromkeys(CONDITIONS, "True")
    assert world.apps.objects["echo"]["metadata"]["finalizers"] == [FINALIZER]
    assert world.api.reasons() == ["Installed"]


async def test_nothing_is_written_while_nothing_changes(world: World) -> None:
    """A second pass only reads."""
    world.apps.make(settings={"word": "a"})
    await world.look()
    before, calls = len(world.api.requests), list(world.engine.calls)

    await world.look()

    assert {verb for verb, _, _ in world.api.requests[before:]} == {"get"}
    assert world.engine.calls == calls


async def test_another_package_is_an_upgrade(world: World) -> None:
    """Of the same version, too: what counts is what is in it."""
    world.apps.make()
    await world.look()
    world.apps.config_map(package("1.1.0"))
    await world.look()

    assert world.apps.status()["installedVersion"] == "1.1.0"
    assert world.api.reasons() == ["Installed", "Upgraded"]


async def test_it_is_enabled_and_disabled(world: World) -> None:
    """A version that came meanwhile included."""
    world.apps.make(enabled=False)
    await world.look()
    assert world.state() is AppStatus.DISABLED
    assert world.apps.status()["phase"] == "Disabled"

    world.apps.config_map(package("1.1.0"))
    world.apps.change(enabled=True)
    await world.look()
    assert world.state() is AppStatus.ENABLED

    world.apps.change(enabled=False)
    await world.look()
    assert world.state() is AppStatus.DISABLED
    assert world.apps.condition("Enabled") == ("False", "Disabled")


async def test_what_was_done_by_hand_is_undone(world: World) -> None:
    """Disabled, set otherwise, another package, removed."""
    world.apps.make(settings={"word": "a"})
    await world.look()
    for changes in ({"status": AppStatus.DISABLED}, {"settings": {"limit": 9}}, {"digest": "x"}):
        world.engine.by_hand(**changes)
        await world.look()
        app = world.engine.apps["echo"]
        assert (app.status, app.settings) == (AppStatus.ENABLED, {"word": "a"})
        assert app.digest != "x"

    del world.engine.apps["echo"]
    await world.look()
    assert world.engine.apps["echo"].settings == {"word": "a"}


async def test_a_setting_that_is_not_named_any_more_has_its_default_again(world: World) -> None:
    world.apps.make(settings={"word": "a", "limit": 3})
    await world.look()
    world.apps.change(settings={"limit": 3})
    await world.look()

    assert world.engine.apps["echo"].settings == {"limit": 3}


@pytest.mark.parametrize(
    ("data", "words", "condition"),
    [
        (b"nonsense", "it is not a zip archive", "Installed"),
        (package(app_id="other"), "The package is of the app other", "Installed"),
        (package("1.0.0", "network"), "Echo also asks for: network", "PermissionsGranted"),
    ],
)
async def test_what_is_refused_is_not_tried_again(
    world: World, data: bytes, words: str, condition: str
) -> None:
    """Until the object or the source changes; the status has the engine's words meanwhile."""
    world.apps.config_map(data)
    world.apps.make()
    for _ in range(3):
        await world.look()
        assert world.apps.status()["phase"] == "Failed"
        assert world.apps.status()["lastError"] == words
        assert world.apps.condition(condition)[0] == "False"
    assert world.engine.calls == ["install"]
    assert world.api.reasons() == ["Failed"]

    world.apps.change(version="1.0.0")
    await world.look()
    assert world.engine.calls == ["install"] * 2

    world.apps.config_map(package())
    await world.look()
    assert world.apps.status()["phase"] == "Enabled"
    assert "refused" not in world.apps.status()


async def test_a_refused_upgrade_leaves_the_version_before(world: World) -> None:
    """It runs on, and may still be disabled."""
    world.apps.make()
    await world.look()
    world.apps.config_map(package("2.0.0", "network"))
    await world.look()

    assert world.state() is AppStatus.ENABLED
    assert world.apps.status()["installedVersion"] == "1.0.0"
    assert world.apps.status()["phase"] == "Failed"

    world.apps.change(enabled=False)
    await world.look()
    assert world.state() is AppStatus.DISABLED


async def test_permissions_that_are_taken_back_end_the_app(world: World) -> None:
    world.apps.config_map(package("1.0.0", "command"))
    world.apps.make(permissions=["command"])
    await world.look()
    world.apps.change(permissions=[])
    await world.look()

    assert world.state() is AppStatus.DISABLED
    assert world.apps.condition("PermissionsGranted") == ("False", "PermissionsNotGranted")
    assert world.apps.status()["phase"] == "Failed"

    world.apps.change(permissions=["command"])
    await world.look()
    assert world.state() is AppStatus.ENABLED
    assert "lastError" not in world.apps.status()


async def test_settings_that_do_not_fit_are_told_once(world: World) -> None:
    """The Secret being mended is enough."""
    world.apps.make(settingsSecretRef={"name": "keys"})
    world.apps.secret("keys", wrong="x")
    for _ in range(2):
        await world.look()
    assert world.engine.calls == ["install"]
    assert world.apps.status()["lastError"] == "wrong: there is no such setting"

    world.apps.secret("keys", key="x")
    await world.look()
    assert world.apps.status()["phase"] == "Enabled"


async def test_a_wrong_version_is_said(world: World) -> None:
    world.apps.make()
    await world.look()
    world.apps.change(version="2.0.0")
    await world.look()

    assert world.apps.status()["phase"] == "Failed"
    assert world.apps.status()["lastError"] == "the package is of version 1.0.0, not 2.0.0"
    assert world.engine.calls == ["install"]


async def test_what_is_missing_is_waited_for(world: World) -> None:
    """The source, the Secret with settings, or the right to read it."""
    del world.apps.holders["configmaps"]["packages"]
    world.apps.make(settingsSecretRef={"name": "keys"})
    with pytest.raises(NotYet, match="there is no Secret keys"):
        await world.look()
    world.apps.secret("keys", key="x")
    with pytest.raises(NotYet, match="there is no ConfigMap packages"):
        await world.look()
    assert world.apps.status()["phase"] == "Pending"
    assert world.apps.condition("Installed") == ("False", "SourceNotFound")

    world.apps.config_map(package())
    world.apps.unreadable.add("keys")
    with pytest.raises(NotYet, match="may not read Secret keys"):
        await world.look()
    assert world.engine.calls == []

    world.apps.unreadable.clear()
    await world.look()
    assert world.apps.status()["phase"] == "Enabled"


async def test_without_the_secret_the_settings_stay(world: World) -> None:
    """Whatever else is wrong: those of the object alone would be too few."""
    world.apps.config_map(package("1.0.0", "command"))
    world.apps.secret("keys", key="x")
    world.apps.make(permissions=["command"], settingsSecretRef={"name": "keys"})
    await world.look()
    del world.apps.holders["secrets"]["keys"]
    for permissions, state in (([], AppStatus.DISABLED), (["command"], AppStatus.ENABLED)):
        world.apps.change(permissions=permissions, settings={"word": "a"})
        with suppress(NotYet):
            await world.look()
        assert world.state() is state
        assert world.engine.apps["echo"].settings == {"key": "x"}


async def test_a_source_that_went_leaves_the_app(world: World) -> None:
    world.apps.make()
    await world.look()
    del world.apps.holders["configmaps"]["packages"]
    world.apps.change(enabled=False)
    with pytest.raises(NotYet):
        await world.look()

    assert world.state() is AppStatus.DISABLED
    assert world.apps.status()["phase"] == "Disabled"
    assert world.apps.status()["lastError"] == "there is no ConfigMap packages"


async def test_an_app_that_broke_down_stays_down_until_the_object_changes(world: World) -> None:
    world.apps.make()
    await world.look()
    world.engine.breaks()
    for _ in range(2):
        await world.look()
    assert world.apps.status()["phase"] == "Failed"
    assert world.apps.status()["lastError"] == "it crashed too often"
    assert world.apps.condition("Healthy") == ("False", "Failing")
    assert world.engine.calls == ["install"]

    world.engine.broken = True
    world.apps.change(settings={"word": "a"})
    await world.look()
    assert world.engine.calls == ["install", "configure", "enable"]

    world.engine.broken = False
    world.apps.change(settings={"word": "b"})
    await world.look()
    assert world.apps.status()["phase"] == "Enabled"


async def test_an_app_of_somebody_else_is_left_alone(world: World) -> None:
    """Installed by hand, or declared by another object: neither changed, nor removed."""
    world.apps.make("first", appId="echo")
    await world.look("first")
    world.apps.make()
    await world.look()
    assert world.apps.condition("Installed") == ("False", "BelongsToAnother")
    assert "chat/first" in world.apps.status()["lastError"]
    assert "installedVersion" not in world.apps.status()

    world.engine.by_hand(owner="")
    await world.look()
    assert "the administrators" in world.apps.status()["lastError"]

    world.apps.delete()
    assert not await world.look()
    assert "echo" not in world.apps.objects
    assert world.engine.calls == ["install"]
    assert "echo" in world.engine.apps


async def test_what_is_deleted_is_removed_first(world: World) -> None:
    world.apps.make()
    await world.look()
    world.apps.delete()
    assert "echo" in world.apps.objects

    assert not await world.look()
    assert world.engine.apps == {}
    assert world.apps.objects == {}
    assert not await world.look()


async def test_it_waits_for_an_engine() -> None:
    """The status says so, and the object does not go before what it stands for."""
    async with served(engine=False) as world:
        world.apps.make()
        with pytest.raises(NotYet, match="the apps engine does not answer"):
            await world.look()
        assert world.apps.status()["phase"] == "Pending"
        assert world.apps.status()["lastError"] == "the apps engine does not answer"
        assert world.apps.condition("Healthy") == ("Unknown", "EngineAbsent")
        world.apps.delete()
        with pytest.raises(NotYet):
            await world.look()
        assert "waits to be removed" in world.apps.status()["lastError"]

        await world.bus.serve(world.engine)
        assert not await world.look()
        assert world.apps.objects == {}


async def test_an_engine_that_goes_away_leaves_what_is_known(world: World) -> None:
    world.apps.make()
    await world.look()
    world.engine.before = dies(Unavailable("gone"))
    world.apps.change(enabled=False)
    with pytest.raises(NotYet):
        await world.look()
    status = world.apps.status()
    assert (status["phase"], status["installedVersion"]) == ("Enabled", "1.0.0")
    assert status["observedGeneration"] == 1

    world.engine.before = lambda action: None
    await world.look()
    assert world.apps.status()["phase"] == "Disabled"
    assert world.apps.status()["observedGeneration"] == 2


PATCH: Request = ("patch", "hubbub.dev", "hubbubapps")
PATCH_STATUS: Request = ("patch", "hubbub.dev", "hubbubapps/status")
EVENT: Request = ("create", "", "events")


@pytest.mark.parametrize("request_", [PATCH, PATCH_STATUS, EVENT])
@pytest.mark.parametrize("after", [False, True])
async def test_an_operator_that_dies_anywhere_is_gone_on_after(
    world: World, request_: Request, after: bool
) -> None:
    """Between any two requests, while it installs and while it removes."""
    world.apps.make(settings={"word": "a"})
    await world.dies_while(request_, after=after)
    await world.look()
    assert world.apps.status()["phase"] == "Enabled"
    assert world.engine.apps["echo"].settings == {"word": "a"}
    assert world.engine.calls == ["install"]

    world.apps.delete()
    if request_ == PATCH:
        await world.dies_while(request_, after=after)
        assert world.engine.apps == {}
    await world.look()
    assert world.engine.apps == {}
    assert world.apps.objects == {}


async def test_the_removal_of_a_release_does_not_wait_for_ever(world: World) -> None:
    """With the operator gone, objects are let go; its apps stay where they are."""
    world.apps.make()
    await world.look()
    world.apps.make("other", source={"secret": {"name": "none", "key": "x"}})

    assert await release_from(world.cluster, within=0) == Released(("other",), ("echo",))
    assert world.apps.objects == {}
    assert "echo" in world.engine.apps

    assert await release_from(world.cluster, within=0) == Released()
