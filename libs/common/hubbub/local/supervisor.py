"""A whole Hubbub on one machine, from the first check to the last process gone."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import aiohttp
import orjson

from hubbub.bus.broker import make_keys
from hubbub.local import plans as plan_book
from hubbub.local import running, servers
from hubbub.local.child import Child, Hopeless, Plan
from hubbub.local.door import service as door
from hubbub.local.folder import admin_password, locked
from hubbub.local.logbook import LogFile, Screen
from hubbub.local.programs import CannotStart
from hubbub.local.settings import LocalSettings
from hubbub.local.summary import Running, summary

T = TypeVar("T")

WRONG_SETTINGS = 2
READY_WITHIN = 90.0  # seconds; then who is not ready is named, and the rest goes on


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    host: str = "127.0.0.1"
    port: int = 3000
    streamers: int = 1
    data: Path = Path(".hubbub")
    ready_within: float = READY_WITHIN


def run(options: Options, settings: LocalSettings, commands: plan_book.Commands) -> int:
    """Run until told to stop; returns the exit status.

    Raises:
        CannotStart: a port, a folder or a server cannot be had; nothing is left running.
    """
    with asyncio.Runner() as runner:
        return runner.run(Supervisor(options, settings, commands).live())


class Supervisor:
    """Owns the servers, the children, and the order in which they come and go.

    The listening socket of the front door is bound here and handed down: a taken port is
    seen before anything is started, and no connection is refused while the door restarts.
    """

    def __init__(
        self,
        options: Options,
        settings: LocalSettings,
        commands: plan_book.Commands,
        screen: Screen | None = None,
    ) -> None:
        self._options = options
        self._settings = settings
        self._commands = commands
        self._screen = screen or Screen()
        self._children: dict[str, Child] = {}
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._servers_running: list[servers.Server] = []
        self._status = 0

    async def live(self) -> int:
        """From the first check to the last process gone."""
        async with AsyncExitStack() as stack:
            stack.enter_context(self._signals())
            address = f"{self._options.host}:{self._options.port}"
            stack.enter_context(locked(self._options.data, address=address))
            listening = stack.enter_context(self._listening())
            self._screen.say("hubbub: starting; Ctrl-C stops everything")
            urls = await self._unless_stopped(self._servers(stack))
            if urls is not None:
                addresses = running.Addresses(
                    pid=os.getpid(),
                    url=self._url,
                    nats_url=urls["HUBBUB_NATS_URL"],
                    nats_keys=urls.get("HUBBUB_NATS_KEYS", ""),
                    mongo_url=urls["HUBBUB_MONGO_URL"],
                )
                with running.written(self._options.data, addresses):
                    await self._run_all(listening, urls)
            self._screen.say("hubbub: stopping the servers")
        self._screen.say("hubbub: everything is stopped")
        return self._status

    # --- what must be there first ---

    @contextmanager
    def _listening(self) -> Iterator[socket.socket]:
        host, port = self._options.host, self._options.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listening = socket.socket(family)
        with listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind((host, port))
                listening.listen(door.BACKLOG)
            except OSError as error:
                raise CannotStart(
                    f"port {port} of {host} cannot be had ({error.strerror}): stop the program "
                    "that has it, or choose another one with --port"
                ) from None
            yield listening

    async def _servers(self, stack: AsyncExitStack) -> dict[str, str]:
        """The variables that name the database, the broker and its keys, started if need be."""
        data, logs = self._options.data, self._logs
        urls = {}
        given = self._settings.mongo_url
        if given is None:
            self._screen.say("hubbub: starting mongod")
            # Entered first, so that it ends last: everybody needs it until their own end.
            mongo = await stack.enter_async_context(
                servers.mongo(data / "mongo", log_file=logs / "mongod.log")
            )
            urls["HUBBUB_MONGO_URL"] = mongo.url
            self._servers_running.append(mongo)
        else:
            urls["HUBBUB_MONGO_URL"] = given.get_secret_value()
        given = self._settings.nats_url
        if given is None:
            self._screen.say("hubbub: starting nats-server")
            keys = (data / "nats-keys").resolve()
            nats = await stack.enter_async_context(
                servers.nats(
                    data / "nats",
                    log_file=logs / "nats-server.log",
                    configuration=_keys_made(keys),
                )
            )
            urls["HUBBUB_NATS_URL"] = nats.url
            urls["HUBBUB_NATS_KEYS"] = str(keys)
            self._servers_running.append(nats)
        else:
            urls["HUBBUB_NATS_URL"] = given.get_secret_value()
        return urls

    async def _unless_stopped(self, work: Coroutine[None, None, T]) -> T | None:
        """What `work` gives, or None when we are told to stop before that."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            task.cancel()
            stop.cancel()
            await asyncio.wait({task, stop})

    # --- the services and their door ---

    async def _run_all(self, listening: socket.socket, urls: dict[str, str]) -> None:
        shared, admin = self._shared(urls), self._admin()
        plans = [
            *plan_book.service_plans(
                self._commands, streamers=self._options.streamers, shared=shared, admin=admin
            ),
            plan_book.door_plan(listening.fileno(), shared=shared),
        ]
        for plan in plans:
            self._screen.introduce(plan.name)
            self._children[plan.name] = self._child(plan)
        try:
            async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
                working = [
                    tasks.create_task(self._keep_child(child, session), name=child.name)
                    for child in self._children.values()
                ]
                working += [
                    tasks.create_task(self._keep_server(server), name=server.name)
                    for server in self._servers_running
                ]
                working.append(tasks.create_task(self._inform_door(), name="inform-door"))
                working.append(tasks.create_task(self._announce(), name="announce"))
                await self._stopping.wait()
                listening.close()  # the door closes its own copy: from now on nobody gets in
                await self._stop_children(plans)
                for task in working:
                    task.cancel()
        finally:
            for child in self._children.values():
                child.kill()
                child.log.close()

    async def _keep_child(self, child: Child, session: aiohttp.ClientSession) -> None:
        try:
            await child.live(session)
        except Hopeless:
            self._screen.say(f"hubbub: {child.name} cannot work with these settings, see above")
            self._status = WRONG_SETTINGS
            self._stopping.set()

    async def _keep_server(self, server: servers.Server) -> None:
        """Start a server again that died; its data and its port are the same."""
        while True:
            status = await server.process.wait()
            self._screen.say(
                f"hubbub: {server.name} ended with status {status}; it is started again "
                f"(log: {server.log_file})"
            )
            try:
                await server.start_again()
            except CannotStart as error:
                self._screen.say(f"hubbub: {error}")
                self._status = 1
                self._stopping.set()
                return

    async def _inform_door(self) -> None:
        """Tell the door who is ready, whenever that changes, and whenever it is a new door."""
        told: tuple[object, bytes] = (None, b"")
        while True:
            change = self._changed
            gate = self._children[door.NAME]
            line = orjson.dumps(self._backends()) + b"\n"
            if gate.process is not None and told != (gate.process, line):
                told = (gate.process, line)
                await gate.order(line)
            await change.wait()

    def _backends(self) -> dict[str, list[tuple[str, str, int]]]:
        roles = {"streamer": plan_book.STREAMER, "gateway": plan_book.GATEWAY}
        return {
            role: [
                (child.name, "127.0.0.1", child.ports.public)
                for child in self._children.values()
                if child.state == "ready" and plan_book.service_of(child.plan) == service
            ]
            for role, service in roles.items()
        }

    async def _announce(self) -> None:
        """Say when everything is ready, or who is not when it takes too long."""
        try:
            async with asyncio.timeout(self._options.ready_within):
                await self._everybody_ready()
        except TimeoutError:
            for child in self._children.values():
                if child.state != "ready":
                    self._screen.say(
                        f"hubbub: {child.name} is not ready after "
                        f"{self._options.ready_within:g} s ({child.state}): see {child.log_file}"
                    )
            await self._everybody_ready()
        self._screen.say(self._summary())

    async def _everybody_ready(self) -> None:
        while any(child.state != "ready" for child in self._children.values()):
            await self._changed.wait()

    def _summary(self) -> str:
        processes = [
            Running(child.name, child.process.pid, f"http://127.0.0.1:{child.ports.ops}")
            for child in self._children.values()
            if child.process is not None
        ]
        processes += [
            Running(server.name, server.process.pid, f"127.0.0.1:{server.port}")
            for server in self._servers_running
        ]
        return summary(
            url=self._url,
            username=self._settings.admin_username,
            password=self._shown_password(),
            running=processes,
            logs=self._logs,
        )

    # --- what they are told ---

    def _shared(self, urls: dict[str, str]) -> dict[str, str]:
        return {
            "HUBBUB_LOG_FORMAT": "json",
            "HUBBUB_STREAMER_HOST": "127.0.0.1",
            "HUBBUB_GATEWAY_HOST": "127.0.0.1",
            "HUBBUB_ROOT_URL": self._url,
            **{name: os.environ.get(name, value) for name, value in plan_book.LAPTOP.items()},
            **urls,
        }

    def _admin(self) -> dict[str, str]:
        given = self._settings.admin_password
        password = given.get_secret_value() if given else admin_password(self._options.data)
        return {
            "HUBBUB_ADMIN_USERNAME": self._settings.admin_username,
            "HUBBUB_ADMIN_PASSWORD": password,
            "HUBBUB_ADMIN_EMAIL": self._settings.admin_email,
        }

    def _shown_password(self) -> str:
        """A made-up password is for the eyes at the terminal, not for a log that is kept."""
        if self._settings.admin_password is not None:
            return "as HUBBUB_ADMIN_PASSWORD says"
        file = self._options.data / "admin-password"
        if self._screen.is_terminal:
            return f"{admin_password(self._options.data)}   (kept in {file})"
        return f"in {file}"

    @property
    def _url(self) -> str:
        host = self._options.host
        shown = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104 - compared only
        shown = f"[{shown}]" if ":" in shown else shown
        return self._settings.root_url or f"http://{shown}:{self._options.port}"

    @property
    def _logs(self) -> Path:
        return self._options.data / "log"

    def _child(self, plan: Plan) -> Child:
        return Child(plan, LogFile(self._logs / f"{plan.name}.log"), self._screen, self._notice)

    def _notice(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    # --- the end ---

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """The first signal asks for an ordered end, the second one for an end at once."""

        def on_signal(number: signal.Signals) -> None:
            if not self._stopping.is_set():
                self._screen.say(f"hubbub: stopping everything ({number.name}); again: at once")
                self._stopping.set()
                return
            for child in self._children.values():
                child.kill()

        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        for number in numbers:
            loop.add_signal_handler(number, on_signal, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    async def _stop_children(self, plans: list[Plan]) -> None:
        """Nobody new gets in; then who faces clients ends first, who reads the log last."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._children[door.NAME].stop(), name="stop-door")
            for stage in plan_book.stop_stages(plans):
                async with asyncio.TaskGroup() as stopping:
                    for name in stage:
                        stopping.create_task(self._children[name].stop(), name=f"stop-{name}")


def _keys_made(folder: Path) -> Path:
    """The configuration of a NATS server that knows the keys of `folder`. Raises: CannotStart."""
    try:
        return make_keys(folder)
    except (OSError, ValueError) as error:
        raise CannotStart(f"the keys of NATS cannot be made: {error}") from None
