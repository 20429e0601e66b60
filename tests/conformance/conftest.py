"""A whole Hubbub for the conformance tests, with two streamers so that events cross processes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from pymongo import AsyncMongoClient

from hubbub.ids import random_id
from hubbub.mongo import Database
from tests.conformance.checklist import pytest_terminal_summary  # noqa: F401 - a hook
from tests.conformance.ddp import Ddp, opened
from tests.conformance.leaks import assert_kept, keep_password
from tests.conformance.rest import Rest, User

NewUser = Callable[..., Awaitable[User]]
Anonymous = Callable[[], Awaitable[Ddp]]
SignIn = Callable[[User], Awaitable[Ddp]]

START = 90.0  # seconds until a fresh Hubbub answers
ADMIN_PASSWORD = keep_password("correct-horse-battery")
CLIENTS = Path(__file__).parent / "clients"

_STARTED = pytest.StashKey["Running"]()


@dataclass(frozen=True)
class Running:
    """A Hubbub that answers."""

    url: str
    folder: Path | None = None
    """Where its data and its output are, when the tests started it."""
    supervisor: int | None = None
    """The process id of its `hubbub up`, when the tests started it."""

    @property
    def websocket(self) -> str:
        return self.url.replace("http", "ws", 1) + "/websocket"

    @property
    def data(self) -> Path:
        """Its data folder. Skips the test for a Hubbub that somebody else started."""
        if self.folder is None:
            pytest.skip("this Hubbub was not started by the tests")
        return self.folder / "data"

    def address(self, of: str) -> str:
        """The address of its database (`mongo_url`) or broker (`nats_url`)."""
        found: str = json.loads((self.data / "running.json").read_text())[of]
        return found

    @property
    def bus_environment(self) -> dict[str, str]:
        """What one more process of this Hubbub needs to be told of NATS."""
        return {
            "HUBBUB_NATS_URL": self.address("nats_url"),
            "HUBBUB_NATS_KEYS": self.address("nats_keys"),
        }


@pytest.fixture(scope="session")
def hubbub(pytestconfig: pytest.Config) -> Iterator[Running]:
    """A running Hubbub: the one of `HUBBUB_TEST_URL`, or one started for this session.

    Folders that import this fixture get the same one. In the end no secret that the tests used
    may be found in its logs and metrics.
    """
    given = os.environ.get("HUBBUB_TEST_URL")
    if given:
        yield Running(given.rstrip("/"))
        return
    if _STARTED not in pytestconfig.stash:
        stack = ExitStack()
        pytestconfig.stash[_STARTED] = stack.enter_context(started(streamers=2))
        pytestconfig.add_cleanup(stack.close)
    running = pytestconfig.stash[_STARTED]
    yield running
    assert_kept(running.data)


@contextmanager
def started(*, streamers: int) -> Iterator[Running]:
    """A whole Hubbub on a data folder of its own, stopped and forgotten at the end."""
    with tempfile.TemporaryDirectory(prefix="hubbub-conformance-") as name:
        folder = Path(name)
        port = _free_port()
        with (folder / "out.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "hubbub.cli.main", "up"),
                    *("--streamers", str(streamers)),
                    *("--port", str(port), "--data", str(folder / "data")),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(),
            )
            try:
                running = Running(f"http://127.0.0.1:{port}", folder, process.pid)
                _wait_until_it_answers(running, process, folder / "out.log")
                yield running
            finally:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
                    raise


def _environment() -> dict[str, str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("HUBBUB_")}
    return {**outside, "HUBBUB_ADMIN_USERNAME": "admin", "HUBBUB_ADMIN_PASSWORD": ADMIN_PASSWORD}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(running: Running, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if b"Sign in" in log.read_bytes() or b"sign in" in log.read_bytes():
            with urllib.request.urlopen(running.url + "/api/info", timeout=10) as answer:
                assert answer.status == 200
            return
        time.sleep(0.1)
    raise AssertionError(f"it did not start:\n{log.read_text(errors='replace')[-6000:]}")


@pytest.fixture
async def database(hubbub: Running) -> AsyncIterator[Database]:
    """Its database, for what other programs write there."""
    async with AsyncMongoClient[dict[str, object]](hubbub.address("mongo_url")) as client:
        yield client.get_default_database()


@pytest.fixture
async def rest(hubbub: Running) -> AsyncIterator[Rest]:
    """REST calls without a login."""
    async with aiohttp.ClientSession() as session:
        yield Rest(session, hubbub.url)


@pytest.fixture
async def admin(rest: Rest) -> User:
    """The first administrator, signed in."""
    name = os.environ.get("HUBBUB_TEST_ADMIN", f"admin:{ADMIN_PASSWORD}")
    return await rest.login(*name.split(":", 1))


@pytest.fixture
def new_user(rest: Rest) -> NewUser:
    """Makes a fresh user and signs it in over REST."""

    async def make(prefix: str = "user") -> User:
        return await rest.register(f"{prefix}-{random_id(8).lower()}")

    return make


@pytest.fixture
async def ana(rest: Rest) -> User:
    return await rest.register(f"ana-{random_id(8).lower()}")


@pytest.fixture
async def bo(rest: Rest) -> User:
    return await rest.register(f"bo-{random_id(8).lower()}")


@pytest.fixture
async def cy(rest: Rest) -> User:
    return await rest.register(f"cy-{random_id(8).lower()}")


@pytest.fixture
async def sockets() -> AsyncIterator[AsyncExitStack]:
    """Sockets opened through `sign_in` and `anonymous`, closed when the test ends."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def anonymous(hubbub: Running, sockets: AsyncExitStack) -> Anonymous:
    """Opens a connected socket without a login."""

    async def open_one() -> Ddp:
        return await sockets.enter_async_context(opened(hubbub.websocket))

    return open_one


@pytest.fixture
def sign_in(hubbub: Running, sockets: AsyncExitStack) -> SignIn:
    """Opens a socket and signs a user in on it."""

    async def open_one(user: User) -> Ddp:
        client = await sockets.enter_async_context(opened(hubbub.websocket))
        await client.login(user.username, user.password)
        return client

    return open_one


@pytest.fixture(scope="session")
def clients() -> Path:
    """A folder with the scenarios and the installed clients, kept between runs."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node.js and npm are not on this machine")
    wanted = (CLIENTS / "package.json").read_bytes()
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    folder = root / "hubbub" / f"npm-clients-{hashlib.sha256(wanted).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    for file in CLIENTS.glob("*.*"):
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
