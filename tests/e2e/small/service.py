"""A tiny service in the place of a real one: `python -m tests.e2e.small.service NAME`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

from aiohttp import WSMsgType, web

from hubbub.runtime import Process, run_process


async def streamer(process: Process) -> None:
    """Echoes what comes over WebSockets; closes them with 1012 when it stops."""
    sockets: set[web.WebSocketResponse] = set()

    async def websocket(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sockets.add(socket)
        await socket.send_json(
            {"instance": process.instance, "for": request.headers.get("X-Forwarded-For")}
        )
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                await socket.send_str(message.data)
        sockets.discard(socket)
        return socket

    application = web.Application()
    application.router.add_get("/websocket", websocket)
    await _serve(process, application, int(os.environ["HUBBUB_STREAMER_PORT"]))
    for socket in list(sockets):
        await socket.close(code=1012)


async def gateway(process: Process) -> None:
    """Answers HTTP."""

    async def echo(request: web.Request) -> web.Response:
        body = await request.read()
        return web.json_response(
            {
                "path": request.path_qs,
                "method": request.method,
                "length": len(body),
                "for": request.headers.get("X-Forwarded-For"),
                "host": request.host,
            }
        )

    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", echo)
    await _serve(process, application, int(os.environ["HUBBUB_GATEWAY_PORT"]))


async def other(process: Process) -> None:
    """Does nothing, and says so."""
    process.health.ready()
    await process.stopping.wait()


async def sick(process: Process) -> None:
    """Dies shortly after its start."""
    process.health.ready()
    await asyncio.sleep(0.5)
    raise RuntimeError("sick")


async def slow(process: Process) -> None:
    """Never finishes its drain, not even when it is cancelled."""
    process.health.ready()
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


async def _serve(process: Process, application: web.Application, port: int) -> None:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    process.health.ready()
    await process.stopping.wait()
    if process.name == "gateway":
        await runner.cleanup()


SERVICES: dict[str, Callable[[Process], Awaitable[None]]] = {
    "ddp-streamer": streamer,
    "gateway": gateway,
    "sick": sick,
    "slow": slow,
}

if __name__ == "__main__":
    name = sys.argv[1]
    sys.exit(run_process(name, SERVICES.get(name, other)))
