"""The process of the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial

from aiohttp import web
from prometheus_client import CollectorRegistry

from hubbub.bus import Bus, NatsBus
from hubbub.bus.discovery import instances
from hubbub.contracts.account import Account
from hubbub.contracts.apps import Apps
from hubbub.contracts.authorization import Authorization
from hubbub.contracts.messaging import Messaging
from hubbub.contracts.pictures import Pictures
from hubbub.contracts.presence import Presence
from hubbub.contracts.push import Push
from hubbub.doors.explaining import Explainer
from hubbub.doors.methods import Services
from hubbub.ids import random_id
from hubbub.mongo import Database
from hubbub.runtime import Process
from hubbub.settings import SiteSettings, load
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.tracing import TracingSettings
from services.gateway.files.shelves import Shelves, kept
from services.gateway.http import HttpServer
from services.gateway.landing import health, landing_page
from services.gateway.metrics import GatewayMetrics
from services.gateway.migration import expand
from services.gateway.rest.application import Application
from services.gateway.rest.authentication import Authentication
from services.gateway.rest.call import Door
from services.gateway.rest.endpoints import everything
from services.gateway.rest.rate_limit import RateLimit, RateRule
from services.gateway.rest.workspace import Workspace
from services.gateway.settings import GatewaySettings
from services.gateway.store.rates import MongoRateStore

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
    async with process.mongo() as database, process.bus(decides_readiness=False) as bus:
        await process.schema(database, expand)
        async with serving(
            bus,
            settings,
            process.registry,
            database=database,
            healthy=lambda: process.health.is_ready,
            leaving=process.stopping.is_set,
        ) as gateway:
            # Events may have been missed while the connection was away.
            bus.on_reconnect(gateway.authentication.forget_all)
            bus.on_reconnect(gateway.workspace.forget)
            if not settings.rate_limit:
                log.info("rate_limit_off", switch_on="HUBBUB_GATEWAY_RATE_LIMIT=true")
            log.info("gateway_listening", host=settings.host, port=gateway.port)
            process.health.ready()
            await process.stopping.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(settings.drain_delay):
                    await process.hurried.wait()
        log.info("gateway_drained")


@asynccontextmanager
async def serving(
    bus: Bus,
    settings: GatewaySettings,
    registry: CollectorRegistry,
    *,
    database: Database | None = None,
    healthy: Callable[[], bool] = lambda: True,
    leaving: Callable[[], bool] = lambda: False,
) -> AsyncIterator[Gateway]:
    """Listen while the context lasts; at its end running requests get time to finish.

    Args:
        database: what all gateways share, with its indexes; None: this one counts calls alone and
            keeps no files.
        healthy: what `/health` answers.
        leaving: whether clients should bring their next request to another gateway.
    """
    metrics = GatewayMetrics(registry)
    services = Services(
        account=bus.proxy(Account),
        authorization=bus.proxy(Authorization),
        messaging=bus.proxy(Messaging),
        pictures=bus.proxy(Pictures),
        presence=bus.proxy(Presence),
        push=bus.proxy(Push),
        apps=bus.proxy(Apps),
    )
    authentication = Authentication(
        services.account, ttl=settings.token_cache_ttl, size=settings.token_cache_size
    )
    workspace = Workspace(
        services.messaging, cors_origin=settings.cors_origin, rate_rule=_rate_rule(settings)
    )
    limit = _limit(settings, database)
    for listener in (authentication, workspace):
        await bus.listen(listener, service=_NAME)
    async with _files(database, bus, settings) as shelves:
        door = Door(
            services,
            authentication,
            workspace,
            metrics,
            settings,
            shelves,
            explainer=_explainer(bus),
        )
        application = Application(everything(), door, limit, tracing=load(TracingSettings))

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            if request.path == "/" and request.method in ("GET", "HEAD"):
                answer: web.StreamResponse = landing_page()
            elif request.path == "/health":
                answer = health(healthy=healthy())
            else:
                answer = await application.handle(request)
            if leaving() and not answer.prepared:
                answer.force_close()
            return answer

        server = HttpServer(
            handle,
            header_timeout=settings.header_timeout,
            max_half_open=settings.max_half_open,
            keepalive_timeout=settings.keepalive_timeout,
            on_bad_input=metrics.bad_input,
        )
        runner = web.ServerRunner(server, shutdown_timeout=settings.shutdown_timeout)
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.host, settings.port, reuse_address=True).start()
            yield Gateway(_port_of(runner), server, authentication, workspace)
        finally:
            await runner.cleanup()


@asynccontextmanager
async def _files(
    database: Database | None, bus: Bus, settings: GatewaySettings
) -> AsyncIterator[Shelves | None]:
    if database is None:
        yield None
        return
    async with kept(database, bus, settings, load(SiteSettings), holder=random_id()) as shelves:
        yield shelves


def _explainer(bus: Bus) -> Explainer | None:
    return Explainer(bus, partial(instances, bus.client)) if isinstance(bus, NatsBus) else None


def _limit(settings: GatewaySettings, database: Database | None) -> RateLimit | None:
    if not settings.rate_limit:
        return None
    counters = None if database is None else MongoRateStore(database)
    return RateLimit(entries=settings.rate_limit_addresses, counters=counters)


def _rate_rule(settings: GatewaySettings) -> RateRule | None:
    if settings.rate_limit_calls is None:
        return None
    return RateRule(settings.rate_limit_calls, settings.rate_limit_window)


def _port_of(runner: web.ServerRunner) -> int:
    address = runner.addresses[0]
    return int(address[1])
