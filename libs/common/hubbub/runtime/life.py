"""From the first line of a process to its exit status."""

from __future__ import annotations

import asyncio
import resource
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeAlias

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.runtime import ops
from hubbub.runtime.parent import follow_parent
from hubbub.runtime.process import CannotStart, Process, Stopped
from hubbub.runtime.verbosity import switching_by_signal
from hubbub.runtime.watchdog import watch_loop
from hubbub.settings import Settings, WrongSettings, load
from hubbub.telemetry import log as logs
from hubbub.telemetry import tracing
from hubbub.telemetry.log import get_logger

log = get_logger(__name__)

Service: TypeAlias = Callable[[Process], Awaitable[None]]
"""The entry point of a service: returns when `process.stopping` is set and all is finished."""

FAILED = 1
WRONG_USE = 2


class ProcessSettings(Settings):
    """The life of every process."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_")

    ops_host: str = "127.0.0.1"
    """Address of the operations port. A container needs `0.0.0.0`; never expose it further."""
    ops_port: int = Field(default=8081, ge=0, le=65535)
    """Port for /livez, /readyz, /startupz, /metrics and /version; 0 lets the system choose."""
    ops_debug: bool = False
    """Answer /debug/tasks and /debug/connections on the operations port: what the process is
    doing and for whom. Shows user ids and addresses, never tokens."""
    drain_deadline: float = Field(default=85.0, gt=0)
    """Seconds after the request to stop until unfinished work is cancelled. Keep it below the
    pod's `terminationGracePeriodSeconds`, after which the kernel would end it: 90 for streamers,
    30 for the others, which need about 25 here."""


def run_process(name: str, service: Service) -> int:
    """Run `service` until it returns, fails, or is told to stop; returns the exit status.

    0 after a clean end, 1 after a failure (its traceback is logged) or when it had to be
    cancelled, 2 when a setting is wrong (one line per wrong variable on standard error).

    SIGTERM and SIGINT set `process.stopping`; the second one leaves two seconds, the third one
    cancels, and so does the drain deadline. A task of the service that dies ends the process:
    whoever started it starts a whole one again, instead of keeping half of one.

    SIGUSR2 writes the log in detail for a minute.
    """
    try:
        settings = load(ProcessSettings)
        log_settings = load(logs.LogSettings)
        tracing_settings = load(tracing.TracingSettings)
    except WrongSettings as error:
        return wrong_settings(error)
    process = Process(name)
    process.drain_deadline = settings.drain_deadline
    logs.configure(log_settings, service=name, instance=process.instance)
    follow_parent(grace=settings.drain_deadline)
    _raise_file_limit()
    with (
        tracing.exporting(tracing_settings, service=name, instance=process.instance),
        asyncio.Runner(loop_factory=_loop_factory()) as runner,
    ):
        return runner.run(_live(process, service, settings))


async def _live(process: Process, service: Service, settings: ProcessSettings) -> int:
    log.info("service_starting")
    process.metrics.watch_tasks(asyncio.get_running_loop())
    life = asyncio.ensure_future(_work(process, service, settings))
    try:
        with _signals(process, life), switching_by_signal(process.verbosity):
            await life
    except asyncio.CancelledError:
        log.warning("service_cancelled")
        return FAILED
    except BaseException as error:
        return _told(error)
    log.info("service_stopped")
    return 0


async def _work(process: Process, service: Service, settings: ProcessSettings) -> None:
    """Run the service behind its operations port."""
    async with ops.serving(
        process, host=settings.ops_host, port=settings.ops_port, debug=settings.ops_debug
    ):
        await _watched(process, service)


async def _watched(process: Process, service: Service) -> None:
    """Run the service and what watches over it; the first of them to end ends all."""
    work = asyncio.ensure_future(service(process))
    tasks = [
        work,
        asyncio.create_task(
            watch_loop(process.metrics.loop_lag, process.health.beat), name="watch_loop"
        ),
        asyncio.create_task(process.health.watch(), name="watch_health"),
        asyncio.create_task(_insist(process, work), name="insist"),
    ]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    # The service's own end comes first: it is the reason, whatever else ended with it.
    for task in sorted(ended, key=lambda task: task is not work):
        task.result()


async def _insist(process: Process, work: asyncio.Future[None]) -> None:
    """Cancel the service when its drain takes too long. Never returns."""
    await process.stopping.wait()
    process.metrics.set_state(process.health.state)
    try:
        async with asyncio.timeout(process.drain_deadline):
            await process.hurried.wait()
            if process.hurry_limit is None:
                await asyncio.Event().wait()
            else:
                await asyncio.sleep(process.hurry_limit)
        log.warning("hurried_drain_cancelled", seconds=process.hurry_limit)
    except TimeoutError:
        log.warning("drain_deadline_passed", seconds=process.drain_deadline)
    work.cancel()
    await asyncio.Event().wait()


@contextmanager
def _signals(process: Process, life: asyncio.Future[None]) -> Iterator[None]:
    """The first signal asks, the second hurries, the third insists."""

    def on_signal(number: signal.Signals) -> None:
        if process.stop(number.name):
            return
        if not process.hurried.is_set():
            log.warning("hurrying", by=number.name)
            process.hurried.set()
        else:
            log.warning("stopping_at_once", by=number.name)
            life.cancel()

    loop = asyncio.get_running_loop()
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
        loop.add_signal_handler(number, on_signal, number)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _told(error: BaseException) -> int:
    """Tell why the process ends; returns its exit status."""
    reasons = list(_leaves(error))
    if all(isinstance(reason, Stopped) for reason in reasons):
        log.info("service_stopped")
        return 0
    for reason in reasons:
        if isinstance(reason, WrongSettings):
            return wrong_settings(reason)
        if isinstance(reason, CannotStart):
            log.error("service_cannot_start", reason=str(reason))
            return FAILED
    log.error("service_failed", exc_info=error)
    return FAILED


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def wrong_settings(error: WrongSettings) -> int:
    """Print one line per wrong variable; returns the exit status."""
    for line in str(error).splitlines():
        print(f"hubbub: {line}", file=sys.stderr)  # noqa: T201 - there may be no log yet
    return WRONG_USE


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where it is available, else the standard loop."""
    with suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None


def _raise_file_limit() -> None:
    """Use all the open files we may have: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS says "unlimited" and refuses it
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
