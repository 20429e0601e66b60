"""kopf in its thread: sees pools, proves that it would, leaves nothing on them, ends when told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

import kopf
import pytest

from hubbub.tasks import owned
from services.operator.declared import APPS
from services.operator.resources import FINALIZER, POOLS
from services.operator.watching import Watch, kopf_settings
from tests.integration.operator.fake_api import NAMESPACE, FakeApi, serving
from tests.waiting import eventually

pytestmark = pytest.mark.integration

WATCH = ("watch", "hubbub.dev", "streamerpools")
Seen = list[tuple[str, Hashable]]


@asynccontextmanager
async def watching(api: FakeApi) -> AsyncIterator[tuple[Watch, Seen]]:
    """A watch over the pools of `api`."""
    seen: Seen = []
    home = threading.get_ident()

    def on_seen(name: str, generation: Hashable) -> None:
        assert threading.get_ident() == home
        seen.append((name, generation))

    watch = Watch(
        lambda: kopf.ConnectionInfo(server=api.url),
        namespace=NAMESPACE,
        seen={POOLS: on_seen},
        request_timeout=5.0,
    )
    async with owned(watch.run()):
        yield watch, seen


async def test_pools_are_seen_when_they_come_and_change() -> None:
    """Those that were there before, too. kopf writes nothing to any of them."""
    async with serving(FakeApi()) as api:
        api.make_pool("old")
        async with watching(api) as (watch, seen):
            await eventually(lambda: ("old", 1) in seen, within=10)
            assert watch.listed.is_set()
            api.make_pool("new")
            await eventually(lambda: ("new", 1) in seen)
            api.change_pool("new", rebalance={"enabled": True})
            await eventually(lambda: ("new", 2) in seen)
            api.delete_pool("new")  # nothing holds it back

        assert {verb for verb, _, _ in api.requests} == {"list", "watch"}
        for pool in api.pools.values():
            assert not {"finalizers", "annotations"} & set(pool["metadata"])


async def test_kopf_leaves_the_finalizers_of_apps_alone() -> None:
    """It would take one of its own away, as it holds nothing back."""
    seen: Seen = []
    async with serving(FakeApi()) as api:
        api.declared.config_map(b"")
        app = api.declared.make()
        app["metadata"]["finalizers"] = [FINALIZER]
        watch = Watch(
            lambda: kopf.ConnectionInfo(server=api.url),
            namespace=NAMESPACE,
            seen={APPS: lambda name, revision: seen.append((name, revision))},
            request_timeout=5.0,
        )
        async with owned(watch.run()):
            await eventually(lambda: len(seen) == 1, within=10)
            api.declared.change(enabled=False)
            await eventually(lambda: len(seen) == 2, within=10)
            api.declared.delete()
            await eventually(lambda: len(seen) == 3, within=10)
            uids = {revision[0] for _, revision in seen}  # type: ignore[index]
            assert len(uids) == 1

        assert {verb for verb, _, _ in api.requests} == {"list", "watch"}
        assert api.refused == []
        assert api.declared.objects["echo"]["metadata"]["finalizers"] == [FINALIZER]


async def test_bookmarks_prove_that_the_watch_lives() -> None:
    """Nothing changes, and yet its age stays low."""
    async with serving(FakeApi()) as api, watching(api) as (watch, _):
        await eventually(lambda: api.requests.count(WATCH) == 1, within=10)
        oldest = 0.0
        for _ in range(20):
            await asyncio.sleep(0.1)
            oldest = max(oldest, watch.age)

        assert 0.2 < oldest < 1.5
        assert api.requests.count(WATCH) == 1


async def test_silence_of_the_api_server_shows() -> None:
    """It went away: the age grows, whatever kopf tries."""
    async with serving(FakeApi()) as api, watching(api) as (watch, _):
        await asyncio.wait_for(watch.listed.wait(), 10)
        api.rights = ()
        api.silent = True
        await eventually(lambda: watch.age > 2.0, within=10)
        assert watch.listed.is_set()


async def test_the_end_leaves_no_thread() -> None:
    """Cancelled like any other task."""
    async with serving(FakeApi()) as api:
        async with watching(api) as (watch, _):
            await asyncio.wait_for(watch.listed.wait(), 10)
            assert "kopf" in {thread.name for thread in threading.enumerate()}
        await eventually(lambda: "kopf" not in {thread.name for thread in threading.enumerate()})


@pytest.mark.parametrize("error", [None, OSError("broken")])
async def test_the_end_of_kopf_is_the_end_of_the_watch(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """Whether it fails or just returns: the process must not look at nothing for ever."""

    async def ends(**_: object) -> None:
        if error is not None:
            raise error

    monkeypatch.setattr(kopf, "operator", ends)
    watch = Watch(
        lambda: kopf.ConnectionInfo(server="http://127.0.0.1:9"),
        namespace=NAMESPACE,
        seen={POOLS: lambda *_: None},
        request_timeout=1.0,
    )
    with pytest.raises(type(error) if error is not None else RuntimeError):
        await asyncio.wait_for(watch.run(), 5)


def test_how_kopf_is_set() -> None:
    """Nothing of kopf's own name on objects, one namespace, no scanning."""
    settings = kopf_settings(30.0)

    assert settings.persistence.finalizer == "hubbub.dev/kopf"
    assert FINALIZER == "hubbub.dev/operator"
    progress, last_seen = (
        settings.persistence.progress_storage,
        settings.persistence.diffbase_storage,
    )
    assert isinstance(progress, kopf.AnnotationsProgressStorage)
    assert isinstance(last_seen, kopf.AnnotationsDiffBaseStorage)
    assert progress.prefix == last_seen.prefix == "hubbub.dev"
    assert settings.scanning.disabled
    assert settings.watching.server_timeout == 600
    assert settings.watching.inactivity_timeout == 70
    assert settings.networking.request_timeout == 30
