"""A Kubernetes API server, as far as the operator needs one, with the ReplicaSet controller in it.

It keeps the rules that the operator relies on: a custom resource is checked against its CRD and
gets its defaults, a patch that names another resource version is refused, server-side apply
knows who owns the deletion cost, and nothing is allowed that is not in the list of rights.
"""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from aiohttp import web

from services.operator.domain.costs import ANNOTATION
from services.operator.rights import RIGHTS, Right
from tests.integration.operator.fake_declared import DeclaredApps

NAMESPACE = "chat"
LABELS = {"app.kubernetes.io/component": "streamer"}
CRDS = Path(__file__).parents[3] / "deploy" / "crds"

Object = dict[str, Any]
Request = tuple[str, str, str]
"""Verb, group, resource with its subresource: what a Role speaks of."""


class Refused(Exception):
    """An answer with an error status."""

    def __init__(self, status: int, reason: str, message: str = "", cause: str = "") -> None:
        super().__init__(message)
        details = {"causes": [{"reason": cause}]} if cause else {}
        self.status = status
        self.body = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "code": status,
            "reason": reason,
            "message": message,
            "details": details,
        }


@dataclass
class FakeApi:
    """The state of a cluster, in one namespace."""

    rights: tuple[Right, ...] = RIGHTS
    pools: dict[str, Object] = field(default_factory=dict)
    deployments: dict[str, Object] = field(default_factory=dict)
    pods: dict[str, Object] = field(default_factory=dict)
    events: list[Object] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    refused: list[Request] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    """Pods that the ReplicaSet controller deleted, in its order."""
    on_pod: Callable[[str], None] = lambda name: None
    """Called with a pod that the controller made."""
    on_deleted: Callable[[str], None] = lambda name: None
    """Called with a pod that the controller is about to delete."""
    before: Callable[[Request], None] = lambda request: None
    """Called before a request takes effect; may raise."""
    after: Callable[[Request], None] = lambda request: None
    """Called after a request took effect, before it is answered; may raise."""
    surge_pending: bool = False
    """The controller is away: replicas change, pods do not."""
    silent: bool = False
    """Watches say nothing any more, not even bookmarks."""
    url: str = ""
    version: int = 100
    """Of the last change."""
    declared: DeclaredApps = field(init=False)
    _made: int = 0
    _history: list[tuple[int, str, Object]] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.declared = DeclaredApps(self)

    # -- what people do -----------------------------------------------------------------------

    def make_pool(self, name: str = "streamers", **spec: Any) -> Object:
        """`kubectl apply` of a pool."""
        pool: Object = {
            "apiVersion": "hubbub.dev/v1alpha1",
            "kind": "StreamerPool",
            "metadata": self.metadata(name),
            "spec": {"deploymentRef": {"name": "streamer"}, **spec},
        }
        self.pools[name] = self.checked(pool)
        self.tell("ADDED", self.pools[name])
        return self.pools[name]

    def change_pool(self, name: str = "streamers", **spec: Any) -> None:
        """`kubectl edit` of a pool's spec."""
        self._store(name, {**self.pools[name], "spec": {**self.pools[name]["spec"], **spec}})

    def delete_pool(self, name: str = "streamers") -> None:
        """`kubectl delete`. Fails when somebody holds the object back."""
        assert not self.pools[name]["metadata"].get("finalizers")
        self.tell("DELETED", self.pools.pop(name))

    def make_deployment(self, replicas: int, name: str = "streamer") -> Object:
        """A deployment whose pods run and are ready."""
        self.deployments[name] = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.metadata(name),
            "spec": {"replicas": replicas, "selector": {"matchLabels": LABELS}},
            "status": {},
        }
        self.settle(name)
        return self.deployments[name]

    def kubectl_scale(self, replicas: int, name: str = "streamer") -> None:
        """`kubectl scale deployment`."""
        self._scale(name, replicas)

    # -- what the controllers do --------------------------------------------------------------

    def settle(self, name: str = "streamer") -> None:
        """The ReplicaSet controller makes and deletes pods until there are as many as wanted."""
        deployment = self.deployments[name]
        wanted = deployment["spec"]["replicas"]
        while len(self.pods) < wanted:
            self._made += 1
            self.make_pod(f"{name}-{self._made}")
        for pod in self.order_of_deletion()[: len(self.pods) - wanted]:
            self.deleted.append(pod)
            self.on_deleted(pod)
            self.pods.pop(pod, None)
        self._observe(name)

    def order_of_deletion(self) -> list[str]:
        """Pods as a ReplicaSet that shrinks deletes them."""
        return [
            name
            for name, _ in sorted(
                self.pods.items(),
                key=lambda item: (
                    _condition(item[1], "PodScheduled"),
                    item[1]["status"]["phase"] == "Running",
                    _condition(item[1], "Ready"),
                    int(item[1]["metadata"].get("annotations", {}).get(ANNOTATION, "0")),
                    -datetime.fromisoformat(item[1]["metadata"]["creationTimestamp"]).timestamp(),
                    item[0],
                ),
            )
        ]

    def make_pod(self, name: str, **status: Any) -> Object:
        """A pod that runs and is ready."""
        self.pods[name] = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**self.metadata(name), "labels": LABELS},
            "spec": {
                "containers": [
                    {"name": "proxy", "ports": [{"name": "http", "containerPort": 15000}]},
                    {"name": "streamer", "ports": [{"name": "ops", "containerPort": 8081}]},
                ]
            },
            "status": {
                "phase": "Running",
                "conditions": [
                    {"type": "PodScheduled", "status": "True"},
                    {"type": "Ready", "status": "True"},
                ],
                "containerStatuses": [
                    {"name": "proxy", "state": {"running": {}}, "restartCount": 0},
                    {"name": "streamer", "state": {"running": {}}, "restartCount": 0},
                ],
                **status,
            },
        }
        self.on_pod(name)
        return self.pods[name]

    def set_ready(self, name: str, *, ready: bool) -> None:
        """The kubelet's readiness probe."""
        for condition in self.pods[name]["status"]["conditions"]:
            if condition["type"] == "Ready":
                condition["status"] = str(ready)
        self._observe("streamer")

    def set_running(self, name: str, *, running: bool) -> None:
        """The kubelet ends the streamer's container, or starts it again."""
        container = self.pods[name]["status"]["containerStatuses"][1]
        container["state"] = {"running": {}} if running else {"terminated": {"exitCode": 0}}
        if running:
            container["restartCount"] += 1

    def annotate(self, name: str, cost: int, *, manager: str) -> None:
        """Somebody else writes a pod's deletion cost."""
        metadata = self.pods[name]["metadata"]
        metadata.setdefault("annotations", {})[ANNOTATION] = str(cost)
        metadata["managedFields"] = [_managed(manager)]

    # -- what tests look at -------------------------------------------------------------------

    def status(self, name: str = "streamers") -> Object:
        """The status of a pool."""
        found: Object = self.pools[name].get("status", {})
        return found

    def condition(self, kind: str, name: str = "streamers") -> Object:
        """A condition of a pool; empty when there is none."""
        return next(
            (one for one in self.status(name).get("conditions", []) if one["type"] == kind), {}
        )

    def reasons(self) -> list[str]:
        """The reasons of all events, oldest first."""
        return [event["reason"] for event in self.events]

    def cost(self, pod: str) -> int | None:
        """The deletion cost of a pod."""
        text = self.pods[pod]["metadata"].get("annotations", {}).get(ANNOTATION)
        return int(text) if text is not None else None

    @property
    def replicas(self) -> int:
        """Of the deployment's spec."""
        replicas: int = self.deployments["streamer"]["spec"]["replicas"]
        return replicas

    # -- requests -----------------------------------------------------------------------------

    def application(self) -> web.Application:
        """The server."""
        application = web.Application(middlewares=[_errors])
        get, patch, post = (
            application.router.add_get,
            application.router.add_patch,
            application.router.add_post,
        )
        own = f"/apis/hubbub.dev/v1alpha1/namespaces/{NAMESPACE}/streamerpools"
        core, apps = f"/api/v1/namespaces/{NAMESPACE}", f"/apis/apps/v1/namespaces/{NAMESPACE}"
        for path, answer in _DISCOVERY.items():
            get(path, _constant(answer))
        get(own, self._list_pools)
        get(own + "/{name}", self._read_pool)
        patch(own + "/{name}", self._patch_pool)
        patch(own + "/{name}/status", self._patch_status)
        get(core + "/pods", self._list_pods)
        patch(core + "/pods/{name}", self._apply_pod)
        post(core + "/events", self._post_event)
        get(apps + "/deployments/{name}", self._read_deployment)
        patch(apps + "/deployments/{name}/scale", self._patch_scale)
        self.declared.add_routes(
            application, f"/apis/hubbub.dev/v1alpha1/namespaces/{NAMESPACE}/hubbubapps", core
        )
        application.router.add_route("*", "/{other:.*}", self._unknown)
        return application

    async def _list_pools(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("watch") == "true":
            self.allow("watch", "hubbub.dev", "streamerpools")
            return await self.watch(request, "StreamerPool")
        self.allow("list", "hubbub.dev", "streamerpools")
        return web.json_response(
            {
                "kind": "StreamerPoolList",
                "metadata": {"resourceVersion": str(self.version)},
                "items": list(self.pools.values()),
            }
        )

    async def watch(self, request: web.Request, of_kind: str) -> web.StreamResponse:
        """Answer with changes of one kind, for ever."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        sent = int(request.query.get("resourceVersion", self.version))
        while True:
            self._changed.clear()
            for version, kind, found in list(self._history):
                if version > sent and found["kind"] == of_kind and not self.silent:
                    sent = version
                    line = json.dumps({"type": kind, "object": found})
                    await response.write(line.encode() + b"\n")
            try:
                async with asyncio.timeout(0.5):
                    await self._changed.wait()
            except TimeoutError:
                if self.silent:
                    continue
                mark = {
                    "apiVersion": "hubbub.dev/v1alpha1",
                    "kind": of_kind,
                    "metadata": {"resourceVersion": str(self.version)},
                }
                line = json.dumps({"type": "BOOKMARK", "object": mark})
                await response.write(line.encode() + b"\n")

    async def _read_pool(self, request: web.Request) -> web.Response:
        self.allow("get", "hubbub.dev", "streamerpools")
        return web.json_response(_found(self.pools, request))

    async def _patch_pool(self, request: web.Request) -> web.Response:
        with self.effect("patch", "hubbub.dev", "streamerpools"):
            pool, patch = _found(self.pools, request), await _merge_patch(request)
            _same_version(pool, patch)
            merged = _merged(pool, {"spec": patch.get("spec", {})})
            self._store(request.match_info["name"], merged)
        return web.json_response(self.pools[request.match_info["name"]])

    async def _patch_status(self, request: web.Request) -> web.Response:
        with self.effect("patch", "hubbub.dev", "streamerpools/status"):
            pool, patch = _found(self.pools, request), await _merge_patch(request)
            _same_version(pool, patch)
            merged = _merged(pool, {"status": patch["status"]})
            self._store(request.match_info["name"], merged)
        return web.json_response(self.pools[request.match_info["name"]])

    async def _list_pods(self, request: web.Request) -> web.Response:
        self.allow("list", "", "pods")
        wanted = dict(part.split("=") for part in request.query["labelSelector"].split(","))
        found = [
            pod for pod in self.pods.values() if wanted.items() <= pod["metadata"]["labels"].items()
        ]
        return web.json_response({"kind": "PodList", "items": found})

    async def _apply_pod(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/apply-patch+yaml"
        manager, force = request.query["fieldManager"], request.query.get("force")
        body = json.loads(await request.read())
        with self.effect("patch", "", "pods"):
            pod = self.pods.get(request.match_info["name"])
            if pod is None or pod["metadata"]["uid"] != body["metadata"]["uid"]:
                raise Refused(409, "Conflict", "uid mismatch")
            metadata = pod["metadata"]
            wanted = body["metadata"]["annotations"][ANNOTATION]
            others = [one for one in metadata.get("managedFields", []) if one["manager"] != manager]
            present = metadata.get("annotations", {}).get(ANNOTATION)
            if others and present != wanted and force != "true":
                text = f'conflict with "{others[0]["manager"]}"'
                raise Refused(409, "Conflict", text, cause="FieldManagerConflict")
            metadata.setdefault("annotations", {})[ANNOTATION] = wanted
            metadata["managedFields"] = [*others, _managed(manager)]
        return web.json_response(pod)

    async def _post_event(self, request: web.Request) -> web.Response:
        event = await request.json()
        with self.effect("create", "", "events"):
            assert (
                event["metadata"]["namespace"] == NAMESPACE == event["involvedObject"]["namespace"]
            )
            self.events.append(event)
        return web.json_response(event, status=201)

    async def _read_deployment(self, request: web.Request) -> web.Response:
        self.allow("get", "apps", "deployments")
        return web.json_response(_found(self.deployments, request))

    async def _patch_scale(self, request: web.Request) -> web.Response:
        with self.effect("patch", "apps", "deployments/scale"):
            patch = await _merge_patch(request)
            assert set(patch) <= {"metadata", "spec"}
            assert set(patch["spec"]) == {"replicas"}
            deployment = _found(self.deployments, request)
            _same_version(deployment, patch)
            self._scale(request.match_info["name"], patch["spec"]["replicas"])
        return web.json_response({"kind": "Scale", "spec": patch["spec"]})

    async def _unknown(self, request: web.Request) -> web.Response:
        seen = (request.method.lower(), "?", request.path)
        self.requests.append(seen)
        self.refused.append(seen)
        raise Refused(403, "Forbidden", f"{request.method} {request.path}")

    # -- inside -------------------------------------------------------------------------------

    def allow(self, *request: str) -> Request:
        """Note a request. Raises: Refused: it is beyond the rights."""
        asked: Request = (request[0], request[1], request[2])
        self.requests.append(asked)
        if not any(
            (right.group, right.resource) == asked[1:] and asked[0] in right.verbs
            for right in self.rights
        ):
            self.refused.append(asked)
            raise Refused(403, "Forbidden", f"cannot {asked[0]} {asked[2]}")
        return asked

    def effect(self, *request: str) -> _Effect:
        """The same, for one that changes something while the context lasts."""
        return _Effect(self, self.allow(*request))

    def found(self, objects: dict[str, Object], request: web.Request) -> Object:
        """The object that a request names."""
        return _found(objects, request)

    async def patched(
        self, objects: dict[str, Object], request: web.Request
    ) -> tuple[Object, Object]:
        """The object and a merge patch of it, which is of the right version."""
        found, patch = _found(objects, request), await _merge_patch(request)
        _same_version(found, patch)
        return found, patch

    def merged(self, base: Any, patch: Any) -> Any:
        """RFC 7386."""
        return _merged(base, patch)

    def refusal(self, status: int, reason: str, message: str) -> Refused:
        """To be raised."""
        return Refused(status, reason, message)

    def _scale(self, name: str, replicas: int) -> None:
        deployment = self.deployments[name]
        deployment["spec"]["replicas"] = replicas
        deployment["metadata"]["resourceVersion"] = self.next_version()
        deployment["metadata"]["generation"] += 1
        if not self.surge_pending:
            self.settle(name)

    def _observe(self, name: str) -> None:
        deployment = self.deployments.get(name)
        if deployment is None:
            return
        deployment["status"] = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(self.pods),
            "updatedReplicas": len(self.pods),
            "readyReplicas": sum(_condition(pod, "Ready") for pod in self.pods.values()),
        }
        deployment["metadata"]["resourceVersion"] = self.next_version()

    def _store(self, name: str, pool: Object) -> None:
        before = self.pools[name]
        pool = self.checked(pool)
        if pool == before:
            return
        metadata = {**pool["metadata"], "resourceVersion": self.next_version()}
        if pool["spec"] != before["spec"]:
            metadata["generation"] += 1
        self.pools[name] = {**pool, "metadata": metadata}
        self.tell("MODIFIED", self.pools[name])

    def checked(self, pool: Object) -> Object:
        """With its defaults. Fails on what its CRD does not allow."""
        schema = _schema(pool["kind"])
        pool = copy.deepcopy(pool)
        _default(pool, schema)
        jsonschema.Draft202012Validator(schema).validate(pool)
        assert pool["spec"].get("mode") != "Manage" or "replicas" in pool["spec"]
        _no_unknown_fields(pool["spec"], schema["properties"]["spec"], "spec")
        _no_unknown_fields(pool.get("status", {}), schema["properties"]["status"], "status")
        return pool

    def metadata(self, name: str) -> Object:
        """Of an object that is made now."""
        version = self.next_version()
        return {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{name}-{version}",
            "generation": 1,
            "resourceVersion": version,
            "creationTimestamp": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def next_version(self) -> str:
        """For a change."""
        self.version += 1
        return str(self.version)

    def tell(self, kind: str, pool: Object) -> None:
        """Let whoever watches know of a change."""
        version = int(self.next_version())
        found = copy.deepcopy(pool)
        if kind == "DELETED":
            found["metadata"]["resourceVersion"] = str(version)
        self._history.append((version, kind, found))
        self._changed.set()


@dataclass
class _Effect:
    """A request that changes something, with what a test does around it."""

    api: FakeApi
    request: Request

    def __enter__(self) -> None:
        self.api.before(self.request)

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.api.after(self.request)


@asynccontextmanager
async def serving(api: FakeApi) -> AsyncIterator[FakeApi]:
    """Answer requests while the context lasts; `api.url` says where."""
    runner = web.AppRunner(api.application(), shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield api
    finally:
        await runner.cleanup()


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Any]
) -> web.StreamResponse:
    try:
        response: web.StreamResponse = await handler(request)
    except Refused as refusal:
        return web.json_response(refusal.body, status=refusal.status)
    return response


def _constant(answer: Object) -> Callable[[web.Request], Any]:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(answer)

    return handler


def _found(objects: dict[str, Object], request: web.Request) -> Object:
    name = request.match_info["name"]
    if name not in objects:
        raise Refused(404, "NotFound", f"no {name}")
    return objects[name]


async def _merge_patch(request: web.Request) -> Object:
    assert request.content_type == "application/merge-patch+json"
    patch: Object = await request.json()
    return patch


def _same_version(found: Object, patch: Object) -> None:
    expected = patch.get("metadata", {}).get("resourceVersion")
    if expected is not None and expected != found["metadata"]["resourceVersion"]:
        raise Refused(409, "Conflict", "the object has been modified")


def _merged(base: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(base) if isinstance(base, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def _managed(manager: str) -> Object:
    return {
        "manager": manager,
        "operation": "Apply",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "fieldsV1": {"f:metadata": {"f:annotations": {f"f:{ANNOTATION}": {}}}},
    }


def _condition(pod: Object, kind: str) -> bool:
    return any(
        one["type"] == kind and one["status"] == "True" for one in pod["status"]["conditions"]
    )


def _schema(kind: str) -> Object:
    crd = yaml.safe_load((CRDS / f"{kind.lower()}s.yaml").read_text())
    schema: Object = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _default(value: Any, schema: Object) -> None:
    """Structural defaulting, as the API server does it."""
    if isinstance(value, dict):
        for name, sub in schema.get("properties", {}).items():
            if name not in value and "default" in sub:
                value[name] = copy.deepcopy(sub["default"])
            if name in value:
                _default(value[name], sub)


def _no_unknown_fields(value: Any, schema: Object, path: str) -> None:
    """The API server drops them in silence; here that is a failure."""
    if isinstance(value, dict) and "properties" in schema:
        unknown = set(value) - set(schema["properties"])
        assert not unknown, f"{path} has no {unknown}"
        for name, sub in value.items():
            _no_unknown_fields(sub, schema["properties"][name], f"{path}.{name}")
    if isinstance(value, list):
        for item in value:
            _no_unknown_fields(item, schema.get("items", {}), f"{path}[]")


def _resource(name: str, kind: str, verbs: str) -> Object:
    return {
        "name": name,
        "singularName": kind.lower(),
        "namespaced": True,
        "kind": kind,
        "verbs": verbs.split(),
    }


_EVERYTHING = "create delete get list patch update watch"
_GROUPS = {"hubbub.dev": "v1alpha1", "apps": "v1", "apiextensions.k8s.io": "v1"}
_DISCOVERY: dict[str, Object] = {
    "/version": {"major": "1", "minor": "34"},
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            _resource("pods", "Pod", _EVERYTHING),
            _resource("events", "Event", _EVERYTHING),
            {**_resource("namespaces", "Namespace", _EVERYTHING), "namespaced": False},
        ],
    },
    "/apis": {
        "kind": "APIGroupList",
        "groups": [
            {
                "name": name,
                "versions": [{"groupVersion": f"{name}/{version}", "version": version}],
                "preferredVersion": {"groupVersion": f"{name}/{version}", "version": version},
            }
            for name, version in _GROUPS.items()
        ],
    },
    "/apis/hubbub.dev/v1alpha1": {
        "kind": "APIResourceList",
        "groupVersion": "hubbub.dev/v1alpha1",
        "resources": [
            _resource("streamerpools", "StreamerPool", _EVERYTHING),
            _resource("hubbubapps", "HubbubApp", _EVERYTHING),
            _resource("hubbubapps/status", "HubbubApp", "get patch update"),
            _resource("streamerpools/status", "StreamerPool", "get patch update"),
            _resource("streamerpools/scale", "Scale", "get patch update"),
        ],
    },
    "/apis/apps/v1": {
        "kind": "APIResourceList",
        "groupVersion": "apps/v1",
        "resources": [_resource("deployments", "Deployment", _EVERYTHING)],
    },
    "/apis/apiextensions.k8s.io/v1": {
        "kind": "APIResourceList",
        "groupVersion": "apiextensions.k8s.io/v1",
        "resources": [
            {
                **_resource("customresourcedefinitions", "CustomResourceDefinition", _EVERYTHING),
                "namespaced": False,
            }
        ],
    },
}
