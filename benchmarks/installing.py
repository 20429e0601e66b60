"""Apps of the benchmarks: written, packed and brought into a running Hubbub as anybody would."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.running import Hubbub
from hubbub.apps.packing import pack

_WITHIN = aiohttp.ClientTimeout(total=60)


class Administrator:
    """Whoever installs apps, over REST."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def install(
        self, app_id: str, files: Mapping[str, str], permissions: Sequence[str], more: str = ""
    ) -> dict[str, Any]:
        """An app of these Python files, which is enabled then; what is shown of it.

        Args:
            more: the rest of the manifest.
        """
        with tempfile.TemporaryDirectory(prefix="hubbub-bench-") as name:
            folder = Path(name)
            (folder / app_id).mkdir()
            for file, text in files.items():
                (folder / app_id / file).write_text(text)
            manifest = (
                f'id = "{app_id}"\nname = "{app_id}"\nversion = "1.0.0"\n'
                f"permissions = {json.dumps([*permissions])}\n{more}"
            )
            (folder / "app.toml").write_text(manifest)
            package = pack(folder)
        form = aiohttp.FormData()
        form.add_field("permissions", json.dumps([*permissions]))
        form.add_field("app", package, filename="app.zip", content_type="application/zip")
        app: dict[str, Any] = (await self._ask("POST", "/api/apps", data=form))["app"]
        return app

    async def switch(self, app_id: str, *, on: bool) -> str:
        """Let it run or not; its state then."""
        status = "manually_enabled" if on else "manually_disabled"
        body = {"status": status}
        return str((await self._ask("POST", f"/api/apps/{app_id}/status", json=body))["status"])

    async def app(self, app_id: str) -> dict[str, Any]:
        """What is shown of it now."""
        found: dict[str, Any] = (await self._ask("GET", f"/api/apps/{app_id}"))["app"]
        return found

    async def logs(self, app_id: str) -> list[dict[str, Any]]:
        """What it, and the engine about it, wrote down."""
        lines: list[dict[str, Any]] = (await self._ask("GET", f"/api/apps/{app_id}/logs"))["logs"]
        return lines

    async def remove(self, app_id: str) -> None:
        """And forget what it keeps."""
        await self._ask("DELETE", f"/api/apps/{app_id}")

    async def post(self, endpoint: str, **body: Any) -> dict[str, Any]:
        """Call `/api/v1/…`."""
        return await self._ask("POST", f"/api/v1/{endpoint}", json=body)

    async def _ask(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        async with self._session.request(
            method, self._url + path, timeout=_WITHIN, **sent
        ) as answer:
            body: dict[str, Any] = await answer.json()
            if answer.status != 200:
                raise RuntimeError(f"{method} {path}: {answer.status} {body}")
            return body


@asynccontextmanager
async def administrator(house: Hubbub) -> AsyncIterator[Administrator]:
    """The first one, signed in."""
    login = house.rest("login", {"user": "admin", "password": house.password}, None)["data"]
    headers = {"X-Auth-Token": login["authToken"], "X-User-Id": login["userId"]}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Administrator(session, f"http://127.0.0.1:{house.port}")
