"""One release in a namespace of its own for all tests of this folder, and the tables at the end.

The tests run in the order of their files: the release is installed, used, changed and removed.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from tests.cluster.declared import let_go
from tests.cluster.door import front_door
from tests.cluster.kubernetes import Namespace, api_proxy, run
from tests.cluster.load import Doors, register
from tests.cluster.release import Release
from tests.cluster.report import Report
from tests.cluster.target import Target, asked_for, from_environment
from tests.conformance.conftest import clients  # noqa: F401 - a fixture
from tests.conformance.rest import User

collect_ignore_glob = [] if asked_for() else ["test_*.py"]

TARGET = from_environment()
NAMESPACE_LABEL = "hubbub-cluster-test"
REPORT = pytest.StashKey[Report]()


@pytest.fixture(scope="session")
def target() -> Target:
    """The cluster and its images. Skips when there is no cluster."""
    lacking = TARGET.lacking()
    if lacking:
        pytest.skip(lacking)
    return TARGET


@pytest.fixture(scope="session")
def report(pytestconfig: pytest.Config) -> Report:
    """Figures for the tables."""
    return pytestconfig.stash.setdefault(REPORT, Report())


@pytest.fixture(scope="session")
def namespace(target: Target) -> Iterator[Namespace]:
    """A fresh namespace, gone at the end with all that is in it."""
    name = f"hubbub-test-{secrets.token_hex(3)}"
    with api_proxy() as api:
        # Fails if it exists: nobody else's namespace is ever touched.
        asyncio.run(run("kubectl", "create", "namespace", name))
        asyncio.run(run("kubectl", "label", "namespace", name, f"{NAMESPACE_LABEL}=true"))
        try:
            yield Namespace(name, api)
        finally:
            if not target.keep:
                asyncio.run(let_go(Namespace(name, api)))
                asyncio.run(run("kubectl", "delete", "namespace", name, within=180))


@dataclass(frozen=True, slots=True)
class Installed:
    """The release and how its installation went."""

    release: Release
    notes: str
    """What Helm printed."""
    seconds: float
    """From `helm install` until everything was ready."""
    before: frozenset[str]
    """Objects of the whole cluster outside the namespace, before."""


@pytest.fixture(scope="session")
def installed(namespace: Namespace, target: Target) -> Installed:
    """`helm install` with the values of this folder, everything ready."""
    release = Release(namespace, f"chat-{secrets.token_hex(3)}", target)

    async def install() -> Installed:
        before = await objects_elsewhere(namespace)
        began = time.monotonic()
        notes = await release.install()
        await release.is_ready()
        return Installed(release, notes, time.monotonic() - began, before)

    return asyncio.run(install())


@pytest.fixture(scope="session")
def release(installed: Installed) -> Release:
    """The release, which runs."""
    return installed.release


@pytest.fixture(scope="session")
def doors(release: Release) -> Doors:
    """Where its Services are reached from here."""

    async def find() -> Doors:
        return Doors(await release.address("streamer"), await release.address("gateway"))

    return asyncio.run(find())


@pytest.fixture(scope="session")
def people(doors: Doors) -> list[User]:
    """Users of the release, signed in."""
    return asyncio.run(register(doors.gateway))


@pytest.fixture
async def door(doors: Doors) -> AsyncIterator[str]:
    """One address for REST and WebSockets, as an Ingress would give."""
    async with front_door(doors) as address:
        yield address


async def objects_elsewhere(namespace: Namespace) -> frozenset[str]:
    """What exists outside of the namespace, but for what clusters make by themselves."""
    listed = await run("kubectl", "api-resources", "--verbs=list", "-o", "name")
    passing = "componentstatuses endpoints endpointslices events ipaddresses leases pods".split()
    kinds = [
        kind
        for kind in listed.split()
        if kind.partition(".")[0] not in passing and "metrics.k8s.io" not in kind
    ]
    columns = "custom-columns=KIND:.kind,NAMESPACE:.metadata.namespace,NAME:.metadata.name"
    told = await run(
        *("kubectl", "get", ",".join(kinds), "--all-namespaces", "--no-headers"),
        *("--ignore-not-found", "-o", columns),
    )
    found = {" ".join(line.split()) for line in told.splitlines()}
    own = (f" {namespace.name} ", f" <none> {namespace.name}")
    return frozenset(one for one in found if not any(word in f"{one} " for word in own))


@asynccontextmanager
async def timed(report: Report, what: str) -> AsyncIterator[None]:
    """Note how long the context lasted."""
    began = time.monotonic()
    yield
    report.seconds(what, time.monotonic() - began)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these need a cluster, and time."""
    for item in items:
        if "tests/cluster/" in item.path.as_posix():
            item.add_marker(pytest.mark.cluster)
            item.add_marker(pytest.mark.timeout(600))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """The tables, and where they are as JSON."""
    found = config.stash.get(REPORT, None)
    if found is None or found.is_empty:
        return
    found.write(TARGET.report)
    for title, lines in found.tables().items():
        terminalreporter.section(f"cluster: {title}")
        for line in lines:
            terminalreporter.write_line(line)
    terminalreporter.write_line(f"\nThe same as JSON: {TARGET.report}")
