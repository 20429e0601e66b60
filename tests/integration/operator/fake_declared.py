"""The part of the fake API server that knows `HubbubApp`, ConfigMaps and Secrets.

An object that somebody holds back by a finalizer gets the time of its deletion instead, and goes
when the last finalizer does.
"""

from __future__ import annotations

import base64
import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from tests.integration.operator.fake_api import FakeApi, Object

KIND = "HubbubApp"


class DeclaredApps:
    """The declared apps of a fake cluster, and what they are made from."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self.objects: dict[str, Object] = {}
        self.holders: dict[str, dict[str, Object]] = {"configmaps": {}, "secrets": {}}
        self.unreadable: set[str] = set()
        """Names of Secrets that the Role does not name."""

    # -- what people do -----------------------------------------------------------------------

    def make(self, name: str = "echo", **spec: Any) -> Object:
        """`kubectl apply` of an app, from key `app.zip` of the ConfigMap `packages`."""
        app: Object = {
            "apiVersion": "hubbub.dev/v1alpha1",
            "kind": KIND,
            "metadata": self._api.metadata(name),
            "spec": {
                "appId": name,
                "source": {"configMap": {"name": "packages", "key": "app.zip"}},
                **spec,
            },
        }
        self.objects[name] = self._api.checked(app)
        self._api.tell("ADDED", self.objects[name])
        return self.objects[name]

    def change(self, name: str = "echo", **spec: Any) -> None:
        """`kubectl edit` of the spec."""
        app = self.objects[name]
        self._store(name, {**app, "spec": {**app["spec"], **spec}})

    def delete(self, name: str = "echo") -> None:
        """`kubectl delete --wait=false`."""
        app = self.objects[name]
        if not app["metadata"].get("finalizers"):
            self._api.tell("DELETED", self.objects.pop(name))
        elif "deletionTimestamp" not in app["metadata"]:
            moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            metadata = {**app["metadata"], "deletionTimestamp": moment}
            metadata["generation"] += 1
            self._store(name, {**app, "metadata": metadata})

    def config_map(self, data: bytes, name: str = "packages", key: str = "app.zip") -> None:
        """`kubectl create configmap --from-file`."""
        text = base64.b64encode(data).decode()
        self.holders["configmaps"][name] = {
            "metadata": self._api.metadata(name),
            "binaryData": {key: text},
        }

    def secret(self, name: str, **values: str) -> None:
        """`kubectl create secret generic --from-literal`."""
        data = {key: base64.b64encode(text.encode()).decode() for key, text in values.items()}
        self.holders["secrets"][name] = {"metadata": self._api.metadata(name), "data": data}

    # -- what tests look at -------------------------------------------------------------------

    def status(self, name: str = "echo") -> Object:
        """The status of an app."""
        found: Object = self.objects[name].get("status", {})
        return found

    def condition(self, kind: str, name: str = "echo") -> tuple[str, str]:
        """Status and reason of a condition; both empty when there is none."""
        for one in self.status(name).get("conditions", []):
            if one["type"] == kind:
                return one["status"], one["reason"]
        return "", ""

    # -- requests -----------------------------------------------------------------------------

    def add_routes(self, application: web.Application, own: str, core: str) -> None:
        """Answer for these kinds."""
        router = application.router
        router.add_get(own, self._list)
        router.add_get(own + "/{name}", self._read)
        router.add_patch(own + "/{name}", self._patch)
        router.add_patch(own + "/{name}/status", self._patch_status)
        router.add_delete(own + "/{name}", self._delete)
        for resource in self.holders:
            router.add_get(core + f"/{{resource:{resource}}}/{{name}}", self._read_holder)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            self._api.allow("watch", "hubbub.dev", "hubbubapps")
            return await self._api.watch(request, KIND)
        self._api.allow("list", "hubbub.dev", "hubbubapps")
        return web.json_response(
            {
                "kind": f"{KIND}List",
                "metadata": {"resourceVersion": str(self._api.version)},
                "items": list(self.objects.values()),
            }
        )

    async def _read(self, request: web.Request) -> web.Response:
        self._api.allow("get", "hubbub.dev", "hubbubapps")
        return web.json_response(self._api.found(self.objects, request))

    async def _patch(self, request: web.Request) -> web.Response:
        with self._api.effect("patch", "hubbub.dev", "hubbubapps"):
            app, patch = await self._api.patched(self.objects, request)
            assert set(patch["metadata"]) == {"resourceVersion", "finalizers"}
            after = copy.deepcopy(app)
            after["metadata"]["finalizers"] = patch["metadata"]["finalizers"]
            name = request.match_info["name"]
            self._store(name, after)
            after = self.objects[name]
            gone = "deletionTimestamp" in after["metadata"] and not after["metadata"]["finalizers"]
            if gone:
                self._api.tell("DELETED", self.objects.pop(name))
        return web.json_response(after)

    async def _patch_status(self, request: web.Request) -> web.Response:
        with self._api.effect("patch", "hubbub.dev", "hubbubapps/status"):
            app, patch = await self._api.patched(self.objects, request)
            assert set(patch) == {"status"}
            merged = self._api.merged(app, patch)
            self._store(request.match_info["name"], merged)
        return web.json_response(self.objects[request.match_info["name"]])

    async def _delete(self, request: web.Request) -> web.Response:
        with self._api.effect("delete", "hubbub.dev", "hubbubapps"):
            self._api.found(self.objects, request)
            self.delete(request.match_info["name"])
        return web.json_response({"kind": "Status", "status": "Success"})

    async def _read_holder(self, request: web.Request) -> web.Response:
        resource = request.match_info["resource"]
        self._api.allow("get", "", resource)
        if request.match_info["name"] in self.unreadable:
            raise self._api.refusal(403, "Forbidden", "cannot get this one")
        return web.json_response(self._api.found(self.holders[resource], request))

    def _store(self, name: str, app: Object) -> None:
        before = self.objects[name]
        app = self._api.checked(app)
        if app == before:
            return
        metadata = {**app["metadata"], "resourceVersion": self._api.next_version()}
        if app["spec"] != before["spec"]:
            assert app["spec"]["appId"] == before["spec"]["appId"]
            metadata["generation"] += 1
        self.objects[name] = {**app, "metadata": metadata}
        self._api.tell("MODIFIED", self.objects[name])
