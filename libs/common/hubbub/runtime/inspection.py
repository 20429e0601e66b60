"""What a process is doing at this moment, and for whom: pages for those who look for a fault.

They are off unless a setting turns them on. They show where tasks stand in the code but not what
they hold, and ids but nothing that lets anybody in: no values of variables, no tokens.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from hubbub.runtime.process import Process

_MOST = 1_000  # entries that a page shows


def add_to(application: web.Application, process: Process) -> None:
    """Offer the pages."""

    async def tasks(_: web.Request) -> web.Response:
        shown = sorted((_task(task) for task in asyncio.all_tasks()), key=lambda one: one["name"])
        return _page("tasks", shown)

    async def connections(_: web.Request) -> web.Response:
        return _page("connections", () if process.connections is None else process.connections())

    application.router.add_get("/debug/tasks", tasks)
    application.router.add_get("/debug/connections", connections)


def _task(task: asyncio.Task[Any]) -> dict[str, Any]:
    frames = task.get_stack(limit=1)
    at = ""
    if frames:
        code = frames[-1].f_code
        file = Path(code.co_filename)
        at = f"{file.parent.name}/{file.name}:{frames[-1].f_lineno} in {code.co_name}"
    coroutine = getattr(task.get_coro(), "__qualname__", type(task.get_coro()).__name__)
    return {"name": task.get_name(), "coroutine": coroutine, "at": at}


def _page(name: str, entries: Iterable[dict[str, Any]]) -> web.Response:
    shown = list(itertools.islice(entries, _MOST + 1))
    body = {name: shown[:_MOST], "more": len(shown) > _MOST}
    return web.Response(
        body=orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n",
        content_type="application/json",
    )
