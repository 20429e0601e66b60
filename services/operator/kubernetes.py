"""The requests to the API server. Each is one line of `rights`; none is repeated here: whoever
asks looks again soon anyway."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal

import aiohttp
import kopf
import orjson

from services.operator.declared import APPS, Contents, HubbubApp
from services.operator.domain.costs import ANNOTATION
from services.operator.domain.members import Pod
from services.operator.resources import (
    FIELD_MANAGER,
    FINALIZER,
    GROUP,
    POOLS,
    VERSION,
    Deployment,
    StreamerPool,
    live_pods,
    timestamp,
)

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
CONFLICT, FORBIDDEN, NOT_FOUND = 409, 403, 404

_TOKEN_AGE = 60.0  # seconds until the token is read again
_MAX_EVENT_MESSAGE = 1024  # characters; longer ones are refused


class ApiError(Exception):
    """The API server refused a request, or did not answer one in time."""

    def __init__(self, status: int, reason: str, message: str, causes: frozenset[str]) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        """HTTP status; 0 when there was no answer."""
        self.reason = reason
        self.causes = causes
        """Reasons in the details of the refusal."""


class OwnedByAnother(Exception):
    """Another field manager owns the field; we do not take it."""


class Cluster:
    """The API server, as the operator uses it, in one namespace."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        find: Callable[[], kopf.ConnectionInfo],
        *,
        namespace: str,
        identity: str,
    ) -> None:
        """
        Args:
            find: gives the credentials of the moment.
            identity: names this process in events.
        """
        self._session = session
        self._find = find
        self._access = find()
        self._found_at = time.monotonic()
        self._identity = identity
        self.namespace = namespace
        self._core = f"/api/v1/namespaces/{namespace}"
        self._apps = f"/apis/apps/v1/namespaces/{namespace}"
        self._own = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}"

    async def pool(self, name: str) -> StreamerPool | None:
        """The pool, or None when there is none of this name. Raises: ApiError."""
        found = await self._get(f"{self._own}/{POOLS}/{name}")
        return StreamerPool.model_validate(found) if found is not None else None

    async def deployment(self, name: str) -> Deployment | None:
        """The deployment, or None when there is none of this name. Raises: ApiError."""
        found = await self._get(f"{self._apps}/deployments/{name}")
        return Deployment.model_validate(found) if found is not None else None

    async def pods(self, selector: str) -> list[Pod]:
        """The pods that `selector` matches and that nobody has deleted. Raises: ApiError."""
        answer = await self._ask("GET", f"{self._core}/pods", query={"labelSelector": selector})
        return live_pods(answer["items"])

    async def patch_status(self, pool: StreamerPool, status: Mapping[str, Any]) -> StreamerPool:
        """Change these fields of the status; None removes one. Raises: ApiError."""
        answer = await self._ask(
            "PATCH",
            f"{self._own}/{POOLS}/{pool.metadata.name}/status",
            body={"status": status},
            kind=MERGE,
        )
        return StreamerPool.model_validate(answer)

    async def want_replicas(self, pool: StreamerPool, replicas: int) -> StreamerPool | None:
        """Set the replicas of a pool, unless somebody changed it since it was read (None).

        Raises: ApiError.
        """
        answer = await self._unless_changed(
            f"{self._own}/{POOLS}/{pool.metadata.name}",
            pool.metadata.resource_version,
            replicas,
        )
        return StreamerPool.model_validate(answer) if answer is not None else None

    async def scale(self, deployment: Deployment, replicas: int) -> bool:
        """Set the replicas of a deployment, unless it changed since it was read (False).

        Raises: ApiError.
        """
        answer = await self._unless_changed(
            f"{self._apps}/deployments/{deployment.metadata.name}/scale",
            deployment.metadata.resource_version,
            replicas,
        )
        return answer is not None

    async def set_cost(self, pod: Pod, cost: int) -> None:
        """Write the deletion cost of a pod, if it is still there.

        Raises:
            OwnedByAnother: another field manager set it to something else.
            ApiError: any other refusal.
        """
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            # With the uid, applying to a pod that is gone fails instead of making one.
            "metadata": {
                "name": pod.name,
                "uid": pod.uid,
                "annotations": {ANNOTATION: str(cost)},
            },
        }
        query = {"fieldManager": FIELD_MANAGER, "force": "false"}
        try:
            await self._ask(
                "PATCH", f"{self._core}/pods/{pod.name}", body=body, kind=APPLY, query=query
            )
        except ApiError as error:
            if "FieldManagerConflict" in error.causes:
                raise OwnedByAnother(str(error)) from None
            if error.status not in (CONFLICT, NOT_FOUND):
                raise

    # -- apps

    async def app(self, name: str) -> HubbubApp | None:
        """The declared app, or None when there is none of this name. Raises: ApiError."""
        found = await self._get(f"{self._own}/{APPS}/{name}")
        return HubbubApp.model_validate(found) if found is not None else None

    async def apps(self) -> list[HubbubApp]:
        """All declared apps; none where the cluster does not know the kind. Raises: ApiError."""
        answer = await self._get(f"{self._own}/{APPS}")
        return [HubbubApp.model_validate(one) for one in (answer or {}).get("items", ())]

    async def delete_app(self, name: str) -> None:
        """Ask for the end of a declared app, if it is there. Raises: ApiError."""
        try:
            await self._ask("DELETE", f"{self._own}/{APPS}/{name}")
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise

    async def patch_app_status(self, app: HubbubApp, status: Mapping[str, Any]) -> HubbubApp:
        """Change these fields of the status; None removes one. Raises: ApiError."""
        path = f"{self._own}/{APPS}/{app.metadata.name}/status"
        answer = await self._ask("PATCH", path, body={"status": status}, kind=MERGE)
        return HubbubApp.model_validate(answer)

    @staticmethod
    def holds(app: HubbubApp) -> bool:
        """Whether the object waits for us before it goes."""
        return FINALIZER in app.metadata.finalizers

    async def hold(self, app: HubbubApp) -> HubbubApp | None:
        """Let the object wait for us before it goes; None: somebody changed it since it was read.

        Raises: ApiError.
        """
        if self.holds(app):
            return app
        return await self._finalizers(app, [*app.metadata.finalizers, FINALIZER])

    async def release(self, app: HubbubApp) -> None:
        """Let the object go. Raises: ApiError: also when somebody changed it since it was read."""
        kept = [one for one in app.metadata.finalizers if one != FINALIZER]
        if kept == app.metadata.finalizers:
            return
        if await self._finalizers(app, kept) is None and await self.app(app.metadata.name):
            raise ApiError(CONFLICT, "Conflict", "it was changed meanwhile", frozenset())

    async def _finalizers(self, app: HubbubApp, finalizers: list[str]) -> HubbubApp | None:
        version = app.metadata.resource_version
        body = {"metadata": {"resourceVersion": version, "finalizers": finalizers}}
        try:
            path = f"{self._own}/{APPS}/{app.metadata.name}"
            answer = await self._ask("PATCH", path, body=body, kind=MERGE)
        except ApiError as error:
            if error.status in (CONFLICT, NOT_FOUND):
                return None
            raise
        return HubbubApp.model_validate(answer)

    async def contents(self, kind: Literal["ConfigMap", "Secret"], name: str) -> Contents | None:
        """A ConfigMap or Secret, or None when there is none of this name. Raises: ApiError."""
        plural = {"ConfigMap": "configmaps", "Secret": "secrets"}[kind]
        found = await self._get(f"{self._core}/{plural}/{name}")
        return Contents.model_validate(found) if found is not None else None

    # -- events

    async def tell(
        self,
        subject: StreamerPool | HubbubApp,
        reason: str,
        message: str,
        *,
        severity: Literal["Normal", "Warning"] = "Normal",
    ) -> None:
        """Record an event about an object, for `kubectl describe`. Raises: ApiError."""
        moment = timestamp(datetime.now(UTC))
        name = subject.metadata.name
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{name[:200]}.", "namespace": self.namespace},
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": type(subject).__name__,
                "name": name,
                "namespace": self.namespace,
                "uid": subject.metadata.uid,
                "resourceVersion": subject.metadata.resource_version,
            },
            "reason": reason,
            "message": message[:_MAX_EVENT_MESSAGE],
            "type": severity,
            "count": 1,
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "source": {"component": FIELD_MANAGER},
            "reportingComponent": FIELD_MANAGER,
            "reportingInstance": self._identity,
        }
        await self._ask("POST", f"{self._core}/events", body=event, kind="application/json")

    async def _unless_changed(self, path: str, version: str, replicas: int) -> Any:
        body = {"metadata": {"resourceVersion": version}, "spec": {"replicas": replicas}}
        try:
            return await self._ask("PATCH", path, body=body, kind=MERGE)
        except ApiError as error:
            if error.status == CONFLICT:
                return None
            raise

    async def _get(self, path: str) -> Any:
        try:
            return await self._ask("GET", path)
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def _ask(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        kind: str = "",
        query: Mapping[str, str] | None = None,
    ) -> Any:
        headers = self._credentials() | {"Accept": "application/json"}
        if kind:
            headers["Content-Type"] = kind
        try:
            async with self._session.request(
                method,
                self._access.server.rstrip("/") + path,
                data=orjson.dumps(body) if kind else None,
                headers=headers,
                params=query,
            ) as response:
                answer = await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ApiError(0, type(error).__name__, str(error), frozenset()) from error
        if status >= 400:
            raise _refusal(status, answer)
        return orjson.loads(answer)

    def _credentials(self) -> dict[str, str]:
        if time.monotonic() - self._found_at >= _TOKEN_AGE:
            self._access = self._find()
            self._found_at = time.monotonic()
        return self._access.as_http_headers()


@asynccontextmanager
async def connected(
    find: Callable[[], kopf.ConnectionInfo], *, namespace: str, identity: str, timeout: float
) -> AsyncIterator[Cluster]:
    """A cluster to ask while the context lasts; a request takes `timeout` seconds at most."""
    access = find()
    secure = access.server.startswith("https:")
    connector = aiohttp.TCPConnector(ssl=access.as_ssl_context() if secure else True)
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout),
        headers={"User-Agent": FIELD_MANAGER},
    ) as session:
        yield Cluster(session, find, namespace=namespace, identity=identity)


def _refusal(status: int, answer: bytes) -> ApiError:
    """What the API server says in its `Status`; a proxy in between may say anything."""
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError:
        found = {}
    if not isinstance(found, dict):
        found = {}
    causes = (found.get("details") or {}).get("causes") or ()
    return ApiError(
        status,
        str(found.get("reason", "")),
        str(found.get("message", ""))[:500],
        frozenset(str(cause.get("reason")) for cause in causes),
    )
