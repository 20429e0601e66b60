"""The operations port: probes, metrics and version, for those who run Hubbub."""

from __future__ import annotations

import asyncio
import ipaddress
import platform
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias, cast, get_args

import orjson
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from hubbub.runtime import inspection
from hubbub.runtime.health import Report
from hubbub.runtime.process import CannotStart, Process
from hubbub.telemetry.log import Level, get_logger
from hubbub.telemetry.version import revision, version

log = get_logger(__name__)

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(
    process: Process, *, host: str, port: int, debug: bool = False
) -> AsyncIterator[int]:
    """Answer on the operations port while the context lasts; yields the port in use.

    `debug`: also answer /debug/tasks and /debug/connections.

    Raises:
        CannotStart: the port cannot be had.
    """
    runner = web.AppRunner(
        _application(process, debug=debug),
        access_log=None,
        handle_signals=False,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise CannotStart(
                f"the operations port {host}:{port} cannot be had: {error.strerror}; "
                "set HUBBUB_OPS_PORT to another one, or to 0"
            ) from None
        bound: int = runner.addresses[0][1]
        log.info("ops_listening", host=host, port=bound)
        yield bound
    finally:
        await runner.cleanup()


def _application(process: Process, *, debug: bool) -> web.Application:
    health = process.health

    async def metrics(request: web.Request) -> web.Response:
        """Rendered in a thread: two thousand series would hold the loop for 12 ms."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        body = await asyncio.to_thread(encode, process.registry)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def versions(_: web.Request) -> web.Response:
        return _json(
            {
                "name": process.name,
                "instance": process.instance,
                "version": version(),
                "git": revision(),
                "python": platform.python_version(),
                "protocol": "v1",
            }
        )

    async def drain(request: web.Request) -> web.Response:
        """The same as the first SIGTERM, for those who can reach us but not signal us."""
        try:
            window = _seconds(await _asked(request), "window", most=3600.0)
        except ValueError as error:
            return _json({"error": str(error)}, status=400)
        begun = process.stop("drain", window=window)
        return _json({"state": "draining"}, status=202 if begun else 409)

    async def loglevel(request: web.Request) -> web.Response:
        """`{"level": "debug", "seconds": 60}`; without seconds it stays."""
        try:
            asked = await _asked(request)
            seconds = _seconds(asked, "seconds", most=86_400.0)
            level = _level(asked)
        except ValueError as error:
            return _json({"error": str(error)}, status=400)
        process.verbosity.change(level, seconds)
        return _json({"level": level, "seconds": seconds})

    application = web.Application(client_max_size=4096)
    application.router.add_get("/startupz", _probe(health.startup))
    application.router.add_get("/livez", _probe(health.liveness))
    application.router.add_get("/readyz", _probe(health.readiness))
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/version", versions)
    application.router.add_post("/drain", _from_here(drain))
    application.router.add_post("/loglevel", _from_here(loglevel))
    if debug:
        inspection.add_to(application, process)
    return application


def _from_here(handler: Handler) -> Handler:
    """`handler` for those on this machine; the others are refused."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        if not _is_loopback(request.remote):
            return _json({"error": "only from this machine"}, status=403)
        return await handler(request)

    return guarded


def _probe(report: Callable[[], Report]) -> Callable[[web.Request], Any]:
    async def answer(_: web.Request) -> web.Response:
        found = report()
        now = time.monotonic()
        checks = [
            {
                "name": outcome.name,
                "status": _status(ok=outcome.ok),
                "detail": outcome.detail,
                "ageSeconds": round(max(0.0, now - outcome.at), 3),
            }
            for outcome in found.checks
        ]
        body = {"status": _status(ok=found.ok), "checks": checks}
        return _json(body, status=200 if found.ok else 503)

    return answer


def _status(*, ok: bool) -> str:
    return "ok" if ok else "fail"


async def _asked(request: web.Request) -> dict[str, Any]:
    """The JSON object in the body, or an empty one. Raises: ValueError: it is something else."""
    body = await request.read()
    asked = orjson.loads(body) if body.strip() else {}
    if not isinstance(asked, dict):
        raise ValueError("expected a JSON object")  # noqa: TRY004  wrong input, not wrong code
    return asked


def _seconds(asked: dict[str, Any], name: str, *, most: float) -> float | None:
    """A number of seconds, if one was given. Raises: ValueError: it is none, or out of range."""
    value = asked.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise ValueError(f"{name}: expected seconds between 0 and {most:g}")
    return float(value)


def _level(asked: dict[str, Any]) -> Level:
    """Raises: ValueError: it is no level."""
    for level in get_args(Level):
        if asked.get("level") == level:
            return cast(Level, level)
    raise ValueError(f"level: expected one of {', '.join(get_args(Level))}")


def _is_loopback(remote: str | None) -> bool:
    try:
        address = ipaddress.ip_address(remote or "")
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def _json(body: object, *, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(body) + b"\n", status=status, content_type="application/json"
    )
