"""The operations port: probes, metrics and version, for those who run Hubbub."""

from __future__ import annotations

import asyncio
import ipaddress
import platform
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import orjson
from aiohttp import web
from prometheus_client.exposition import choose_encoder

from hubbub.runtime.health import Report
from hubbub.runtime.process import CannotStart, Process
from hubbub.telemetry.log import get_logger
from hubbub.telemetry.version import revision, version

log = get_logger(__name__)


@asynccontextmanager
async def serving(process: Process, *, host: str, port: int) -> AsyncIterator[int]:
    """Answer on the operations port while the context lasts; yields the port in use.

    Raises:
        CannotStart: the port cannot be had.
    """
    runner = web.AppRunner(
        _application(process), access_log=None, handle_signals=False, shutdown_timeout=1.0
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


def _application(process: Process) -> web.Application:
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
        if not _is_loopback(request.remote):
            return _json({"error": "only from this machine"}, status=403)
        if process.stopping.is_set():
            return _json({"state": "draining"}, status=409)
        try:
            process.drain_window = _window(await request.read())
        except ValueError as error:
            return _json({"error": str(error)}, status=400)
        log.info("stopping", by="drain", window=process.drain_window)
        process.stopping.set()
        return _json({"state": "draining"}, status=202)

    application = web.Application(client_max_size=4096)
    application.router.add_get("/startupz", _probe(health.startup))
    application.router.add_get("/livez", _probe(health.liveness))
    application.router.add_get("/readyz", _probe(health.readiness))
    application.router.add_get("/metrics", metrics)
    application.router.add_get("/version", versions)
    application.router.add_post("/drain", drain)
    return application


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


def _window(body: bytes) -> float | None:
    """The seconds that `{"window": seconds}` asks for. Raises: ValueError: it is not that."""
    if not body.strip():
        return None
    asked = orjson.loads(body)
    window = asked.get("window") if isinstance(asked, dict) else asked
    if window is None:
        return None
    if isinstance(window, bool) or not isinstance(window, int | float) or not 0 <= window <= 3600:
        raise ValueError("window: expected seconds between 0 and 3600")
    return float(window)


def _is_loopback(remote: str | None) -> bool:
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False


def _json(body: object, *, status: int = 200) -> web.Response:
    return web.Response(
        body=orjson.dumps(body) + b"\n", status=status, content_type="application/json"
    )
