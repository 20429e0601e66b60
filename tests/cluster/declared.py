"""A declared app of a release: its object, and the ConfigMap with its package."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubbub.apps.packing import pack
from tests.cluster.kubernetes import CommandFailed, Document, Namespace
from tests.cluster.target import ROOT
from tests.waiting import eventually

APP = "reminders"
EXAMPLE = ROOT / "examples" / "apps" / APP
GROUP, KIND = "hubbub.dev/v1alpha1", "hubbubapps"
PERMISSIONS = ["command", "message.send", "notify", "schedule", "store"]
_LOOK_EVERY = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Declared:
    """What people do to such objects with `kubectl`."""

    namespace: Namespace

    async def package(self, data: bytes) -> None:
        """Put a package into the ConfigMap `packages`, over the one before."""
        await self._applied(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "packages"},
                "binaryData": {"app.zip": base64.b64encode(data).decode()},
            }
        )

    async def patch_package_back(self) -> None:
        """The example as it is in the repository."""
        await self.package(pack(EXAMPLE))

    async def apply(self, name: str = APP, **spec: Any) -> None:
        """`kubectl apply` of an app."""
        await self._applied(
            {
                "apiVersion": GROUP,
                "kind": "HubbubApp",
                "metadata": {"name": name},
                "spec": {
                    "appId": APP,
                    "source": {"configMap": {"name": "packages", "key": "app.zip"}},
                    "permissions": PERMISSIONS,
                    **spec,
                },
            }
        )

    async def patch(self, **spec: Any) -> None:
        """`kubectl patch` of the app. Raises: CommandFailed: the API server refused it."""
        await self.namespace.kubectl(
            *("patch", "happ", APP, "--type=merge", "-p", json.dumps({"spec": spec}))
        )

    async def status(self, name: str = APP) -> Document:
        """The status of an app; empty while it has none."""
        found = await self.namespace.object(GROUP, KIND, name)
        status: Document = (found or {}).get("status", {})
        return status

    async def is_in(
        self, phase: str, *, name: str = APP, version: str | None = None, within: float = 90.0
    ) -> None:
        """Wait until the app is in this phase, as of its newest spec."""

        async def seen() -> bool:
            await asyncio.sleep(_LOOK_EVERY)
            found = await self.namespace.object(GROUP, KIND, name)
            assert found is not None
            status = found.get("status", {})
            return bool(
                status.get("phase") == phase
                and status.get("observedGeneration") == found["metadata"]["generation"]
                and version in (None, status.get("installedVersion"))
            )

        try:
            await eventually(seen, within=within, what=f"{name} is {phase}")
        except AssertionError as error:
            raise AssertionError(f"{error}; status: {await self.status(name)}") from None

    async def is_gone(self, within: float = 120.0) -> None:
        """Wait until there is no such object."""

        async def gone() -> bool:
            await asyncio.sleep(_LOOK_EVERY)
            return await self.namespace.object(GROUP, KIND, APP) is None

        await eventually(gone, within=within, what="the app is gone")

    async def reasons(self) -> set[str]:
        """Of all events about apps."""
        events = await self.namespace.items("v1", "events")
        return {
            str(one["reason"]) for one in events if one["involvedObject"]["kind"] == "HubbubApp"
        }

    async def _applied(self, document: Document) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "object.json"
            file.write_text(json.dumps(document))
            await self.namespace.kubectl("apply", "-f", str(file))


async def let_go(namespace: Namespace) -> None:
    """After tests that failed: no app waits for an operator that goes with the namespace."""
    for app in await namespace.items(GROUP, KIND):
        name = app["metadata"]["name"]
        await namespace.kubectl("delete", "happ", name, "--wait=false", "--ignore-not-found")
        if await namespace.object(GROUP, KIND, name) is not None:
            with suppress(CommandFailed):  # the operator was quicker
                await namespace.kubectl(
                    *("patch", "happ", name, "--type=merge"),
                    *("-p", json.dumps({"metadata": {"finalizers": []}})),
                )
