"""The life of the operator process."""

from __future__ import annotations

from functools import partial
from importlib import util

import aiohttp

from hubbub.runtime import CannotStart, Process
from hubbub.settings import load
from hubbub.tasks import owned
from hubbub.telemetry.log import get_logger
from services.operator.metrics import OperatorMetrics
from services.operator.settings import OperatorSettings

log = get_logger(__name__)

WATCH_DEAD_AFTER = 180.0
"""Seconds of silence of the API server after which the process is not alive."""
TICK_DEAD_AFTER = 60.0
"""Seconds without the end of a pass after which the process is not alive."""
APP_PASS_TIMEOUT = 180.0
"""Seconds that one pass over an app may take: the engine has a minute to install one, and twice
as long to remove one."""


async def run(process: Process) -> None:
    """Look after the pools and apps of one namespace until the process is asked to stop."""
    settings = load(OperatorSettings)
    if util.find_spec("kopf") is None:
        raise CannotStart("kopf is not installed; the extra hubbub[operator] brings it")
    # Everything below needs kopf; the settings above can be listed without it.
    from services.operator.access import find_access, find_namespace
    from services.operator.app import AppKeeper
    from services.operator.declared import APPS, HubbubApp
    from services.operator.engine import AppsEngine
    from services.operator.kubernetes import connected
    from services.operator.pool import Pacer, PoolKeeper
    from services.operator.pools import KIND, Pools
    from services.operator.resources import POOLS
    from services.operator.streamers import Reports, Streamers
    from services.operator.watching import Watch

    find = partial(find_access, settings)
    namespace = find_namespace(settings, find())
    metrics = OperatorMetrics(process.registry)
    async with (
        process.bus() as bus,
        aiohttp.ClientSession() as session,
        connected(
            find,
            namespace=namespace,
            identity=process.instance,
            timeout=settings.request_timeout,
        ) as cluster,
    ):
        reports = Reports(silent_after=settings.silent_after)
        await bus.listen(reports, service="operator")
        keeper = PoolKeeper(
            cluster,
            Streamers(bus, reports, session),
            metrics,
            pacer=Pacer(settings.patch_interval),
        )
        pools = Pools(keeper.look_after, interval=settings.interval, metrics=metrics)
        apps = Pools(
            AppKeeper(cluster, AppsEngine(bus)).look_after,
            interval=settings.app_interval,
            retry=settings.app_retry,
            timeout=APP_PASS_TIMEOUT,
            metrics=metrics,
            kind=HubbubApp.__name__,
        )
        seen = {POOLS: pools.seen} | ({APPS: apps.seen} if settings.apps else {})
        watch = Watch(
            find, namespace=namespace, seen=seen, request_timeout=settings.request_timeout * 3
        )
        metrics.watch_age(KIND, lambda: watch.age)
        process.health.check(
            "watch", lambda: problem_of(watch.age, WATCH_DEAD_AFTER), affects_liveness=True
        )
        process.health.check(
            "reconcile", lambda: problem_of(pools.tick_age, TICK_DEAD_AFTER), affects_liveness=True
        )
        longest = settings.app_interval + APP_PASS_TIMEOUT + TICK_DEAD_AFTER
        process.health.check(
            "apps", lambda: problem_of(apps.tick_age, longest), affects_liveness=True
        )

        async def announce() -> None:
            await watch.listed.wait()
            process.health.ready()
            log.info("service_ready", namespace=namespace)

        async with owned(watch.run(), pools.run(), apps.run(), announce()):
            await process.stopping.wait()


def problem_of(age: float, limit: float) -> str | None:
    """What is wrong with something that happened `age` seconds ago."""
    return f"{age:.0f} s ago" if age >= limit else None
