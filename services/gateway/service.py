"""The process of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry

from hubbub.bus import Bus
from hubbub.contracts.account import Account
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.presence import Presence
from hubbub.doors.methods import Services
from hubbub.errors import HubbubError
from hubbub.runtime import Process
from hubbub.settings import load
from hubbub.telemetry.log import get_logger
from services.gateway.http import HttpServer
from services.gateway.landing import health, landing_page
from services.gateway.metrics import GatewayMetrics
from services.gateway.rest.application import Application
from services.gateway.rest.authentication import Authentication
from services.gateway.rest.call import Door
from services.gateway.rest.endpoints import table
from services.gateway.rest.rate_limit import TELL_INTERVAL, RateLimit
from services.gateway.rest.workspace import Workspace
from services.gateway.settings import GatewaySettings

log = get_logger(__name__)

_NAME = "gateway"


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that listens."""

    port: int
    """The port it listens on, chosen by the system where the setting said 0."""
    server: HttpServer
    authentication: Authentication
    workspace: Workspace


async def run(process: Process) -> None:
    """Serve HTTP until the process is asked to stop, then finish what is being answered."""
    settings = load(GatewaySettings)
    async with process.bus() as bus:
        async with serving(
            bus,
            settings,
            process.registry,
            instance=process.instance,
            connected=lambda: bus.connected,
        ) as gateway:
            # Events may have been missed while the connection was away.
            bus.on_reconnect(gateway.authentication.forget_all)
            bus.on_reconnect(gateway.workspace.forget)
            if not settings.rate_limit:
                log.info("rate_limit_off", switch_on="HUBBUB_GATEWAY_RATE_LIMIT=true")
            log.info("gateway_listening", host=settings.host, port=gateway.port)
            process.health.ready()
            await process.stopping.wait()
        log.info("gateway_drained")


@asynccontextmanager
async def serving(
    bus: Bus,
    settings: GatewaySettings,
    registry: CollectorRegistry,
    *,
    instance: str = _NAME,
    connected: Callable[[], bool] = lambda: True,
) -> AsyncIterator[Gateway]:
    """Listen while the context lasts; at its end running requests get time to finish."""
    metrics = GatewayMetrics(registry)
    services = Services(
        account=bus.proxy(Account),
        authorization=bus.proxy(Authorization),
        messaging=bus.proxy(Messaging),
        presence=bus.proxy(Presence),
    )
    authentication = Authentication(
        services.account, ttl=settings.token_cache_ttl, size=settings.token_cache_size
    )
    workspace = Workspace(services.messaging)
    limit = _limit(settings, instance)
    for listener in filter(None, (authentication, workspace, limit)):
        await bus.listen(listener, service=_NAME)
    application = Application(
        table(), Door(services, authentication, workspace, metrics, settings), limit
    )

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/" and request.method in ("GET", "HEAD"):
            return landing_page()
        if request.path == "/health":
            return health(connected=connected())
        return await application.handle(request)

    server = HttpServer(
        handle,
        header_timeout=settings.header_timeout,
        max_half_open=settings.max_half_open,
        keepalive_timeout=settings.keepalive_timeout,
        on_bad_input=metrics.bad_input,
    )
    runner = web.ServerRunner(server, shutdown_timeout=settings.shutdown_timeout)
    await runner.setup()
    telling = asyncio.create_task(_tell_counts(bus, limit), name="tell_counts") if limit else None
    try:
        await web.TCPSite(runner, settings.host, settings.port, reuse_address=True).start()
        yield Gateway(_port_of(runner), server, authentication, workspace)
    finally:
        await runner.cleanup()
        if telling is not None:
            telling.cancel()
            await asyncio.wait([telling])


def _limit(settings: GatewaySettings, instance: str) -> RateLimit | None:
    if not settings.rate_limit:
        return None
    return RateLimit(
        calls=settings.rate_limit_calls,
        window=settings.rate_limit_window,
        entries=settings.rate_limit_addresses,
        instance=instance,
    )


async def _tell_counts(bus: Bus, limit: RateLimit) -> None:
    """Tell the other gateways what was counted here, until cancelled."""
    while True:
        await asyncio.sleep(TELL_INTERVAL)
        event = limit.take_untold()
        if event is None:
            continue
        try:
            await bus.publish(event)
        except HubbubError as error:
            # The bus is away: the limit holds per process until it is back.
            log.warning("counts_not_told", reason=error.reason)


def _port_of(runner: web.ServerRunner) -> int:
    address = runner.addresses[0]
    return int(address[1])
