"""A release of the chart in a namespace: installed, changed, looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.cluster.kubernetes import Document, Namespace
from tests.cluster.target import ROOT, Target
from tests.waiting import eventually

CHART = ROOT / "deploy" / "helm" / "hubbub"
VALUES = Path(__file__).parent / "values.yaml"
ADMIN = ("admin", "correct-horse-battery-staple")
"""As in values.yaml."""

COST = "controller.kubernetes.io/pod-deletion-cost"
OPS_PORT = 8081
READY_WITHIN = 240.0  # seconds for all pods of a release, on a small machine
GONE_WITHIN = 120.0  # seconds for a pod that was told to go
_LOOK_EVERY = 0.5  # seconds


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod as the API server knows it."""

    name: str
    uid: str
    address: str
    ready: bool
    ready_since: float
    """Seconds since 1970; 0 when it never was."""
    leaving: bool
    """It was told to go."""
    restarts: int
    image: str
    cost: int | None
    """Its deletion cost, if it has the annotation."""

    @property
    def serves(self) -> bool:
        return self.ready and not self.leaving


@dataclass(slots=True)
class Release:
    """What `helm install` made."""

    namespace: Namespace
    name: str
    target: Target
    chosen: dict[str, str] = field(default_factory=dict)
    """Values that were chosen since the installation, `--set` by `--set`."""

    @property
    def full_name(self) -> str:
        """What the names of its objects begin with."""
        return self.name if "hubbub" in self.name else f"{self.name}-hubbub"

    @property
    def streamers(self) -> str:
        """The deployment of the streamers."""
        return f"{self.full_name}-streamer"

    # --- changes ------------------------------------------------------------------------------

    async def install(self) -> str:
        """`helm install`; what Helm says to whoever did it."""
        repository, _, tag = self.target.image.rpartition(":")
        self.chosen |= {"image.repository": repository, "image.tag": tag}
        if self.target.exporter_image:
            exporter, _, version = self.target.exporter_image.rpartition(":")
            self.chosen |= {
                "nats.exporter.enabled": "true",
                "nats.exporter.image.repository": exporter,
                "nats.exporter.image.tag": version,
            }
        if self.target.by_node:
            self.chosen |= {"streamer.service.type": "NodePort", "gateway.service.type": "NodePort"}
        return await self.namespace.helm("install", self.name, str(CHART), *self._values())

    async def upgrade(self, **values: str) -> str:
        """`helm upgrade` with further values (`a__b` stands for `a.b`)."""
        self.chosen |= {name.replace("__", "."): value for name, value in values.items()}
        return await self.namespace.helm("upgrade", self.name, str(CHART), *self._values())

    async def to_image(self, image: str) -> None:
        """`helm upgrade` to another image."""
        repository, _, tag = image.rpartition(":")
        await self.upgrade(image__repository=repository, image__tag=tag)

    def _values(self) -> list[str]:
        chosen = [f"{name}={value}" for name, value in self.chosen.items()]
        return ["--values", str(VALUES), *(word for one in chosen for word in ("--set", one))]

    async def scale(self, replicas: int) -> None:
        """`kubectl scale` of the streamers."""
        await self.namespace.kubectl(
            "scale", f"deployment/{self.streamers}", f"--replicas={replicas}"
        )

    async def scaled(self, replicas: int) -> None:
        """The same, and wait until exactly so many are there, all of them ready."""
        await self.scale(replicas)
        await self.has_streamers(replicas)

    async def kill(self, pods: Sequence[Pod]) -> None:
        """kill -9 of everything in these pods, and nobody waits for them."""
        names = [pod.name for pod in pods]
        await self.namespace.kubectl(
            "delete", "pod", *names, "--grace-period=0", "--force", "--wait=false"
        )

    # --- looks --------------------------------------------------------------------------------

    async def pods(self, component: str) -> list[Pod]:
        """The pods of a component, the oldest first."""
        selector = f"app.kubernetes.io/instance={self.name},app.kubernetes.io/component={component}"
        items = await self.namespace.items("v1", "pods", labelSelector=selector)
        found = [item for item in items if item["status"].get("phase") in ("Pending", "Running")]
        found.sort(key=lambda item: str(item["metadata"]["creationTimestamp"]))
        return [_pod(item) for item in found]

    async def has_streamers(self, count: int, *, within: float = READY_WITHIN) -> list[Pod]:
        """Wait until there are so many streamers, all ready, and none on its way out."""

        async def seen() -> list[Pod]:
            await asyncio.sleep(_LOOK_EVERY)
            pods = await self.pods("streamer")
            return pods if len(pods) == count and all(pod.serves for pod in pods) else []

        return await eventually(seen, within=within, what=f"{count} streamers are ready")

    async def is_ready(self, *, within: float = READY_WITHIN) -> float:
        """Wait until every workload runs as wanted, old pods gone; seconds that took."""
        began = time.monotonic()

        async def lacking() -> bool:
            await asyncio.sleep(_LOOK_EVERY)
            return not await self.unready()

        try:
            await eventually(lacking, within=within, what="every workload is ready")
        except AssertionError as error:
            raise AssertionError(f"{error}; unready: {await self.unready()}") from None
        return time.monotonic() - began

    async def unready(self) -> list[str]:
        """Workloads of the release that are not yet as wanted."""
        selector = f"app.kubernetes.io/instance={self.name}"
        found = [
            str(item["metadata"]["name"])
            for kind in ("deployments", "statefulsets")
            for item in await self.namespace.items("apps/v1", kind, labelSelector=selector)
            if not _as_wanted(item)
        ]
        pods = await self.namespace.items("v1", "pods", labelSelector=selector)
        leaving = [
            str(pod["metadata"]["name"])
            for pod in pods
            if "deletionTimestamp" in pod["metadata"]
            and pod["metadata"]["labels"]["app.kubernetes.io/component"] != "selftest"
        ]
        return found + leaving

    async def metric(self, pod: Pod, name: str, **labels: str) -> float:
        """The sum of a metric's samples in one pod. Raises: CommandFailed: it cannot be reached."""
        path = f"{self.namespace.path('v1')}/pods/{pod.name}:{OPS_PORT}/proxy/metrics"
        text = await self.namespace.text(path)
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def revision(self, pod: Pod) -> str:
        """What its image was built from."""
        path = f"{self.namespace.path('v1')}/pods/{pod.name}:{OPS_PORT}/proxy/version"
        told = await self.namespace.get(path)
        assert told is not None
        return str(told["git"])

    async def connections(self) -> dict[str, int]:
        """Pod → open WebSockets, of those streamers that serve."""
        counts = {}
        for pod in await self.pods("streamer"):
            if pod.serves:
                counts[pod.name] = int(await self.metric(pod, "hubbub_streamer_connections"))
        return counts

    async def events(self, kind: str) -> list[Document]:
        """What was said of objects of a kind, oldest first."""
        found = await self.namespace.items(
            "v1", "events", fieldSelector=f"involvedObject.kind={kind}"
        )
        return sorted(found, key=_moment_of)

    async def address(self, component: str) -> str:
        """Where clients of this machine reach a Service, as `http://HOST:PORT`.

        Raises:
            AssertionError: they do not; see `Target.by_node`.
        """
        service = await self.namespace.object("v1", "services", f"{self.full_name}-{component}")
        assert service is not None
        [port] = service["spec"]["ports"]
        if self.target.by_node:
            host, number = await self._node(), port["nodePort"]
        else:
            host, number = service["spec"]["clusterIP"], port["port"]
        try:
            async with asyncio.timeout(10):
                _, writer = await asyncio.open_connection(host, number)
        except (OSError, TimeoutError):
            raise AssertionError(
                f"{host}:{number} of service {component} is not reachable from here; "
                "HUBBUB_CLUSTER_REACH=node goes through ports of the nodes"
            ) from None
        writer.close()
        return f"http://{host}:{number}"

    @asynccontextmanager
    async def direct(self, pod: Pod, port: int) -> AsyncIterator[str]:
        """Where exactly this pod is reached from here: by its address or by `kubectl`."""
        try:
            async with asyncio.timeout(3):
                _, writer = await asyncio.open_connection(pod.address, port)
        except (OSError, TimeoutError):
            async with self.namespace.forwarded(pod.name, port) as local:
                yield f"http://127.0.0.1:{local}"
        else:
            writer.close()
            yield f"http://{pod.address}:{port}"

    async def _node(self) -> str:
        nodes = await self.namespace.get("/api/v1/nodes")
        assert nodes is not None
        for node in nodes["items"]:
            for address in node["status"]["addresses"]:
                if address["type"] == "InternalIP":
                    return str(address["address"])
        raise AssertionError("no node has an address")


def moment(text: str | None) -> float:
    """Seconds since 1970 of a date of the API server; 0 for none."""
    return datetime.fromisoformat(text).timestamp() if text else 0.0


def _moment_of(event: Document) -> float:
    return moment(event.get("lastTimestamp") or event.get("eventTime"))


def _pod(item: Document) -> Pod:
    meta, status = item["metadata"], item["status"]
    ready: Document = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), {})
    cost = meta.get("annotations", {}).get(COST)
    return Pod(
        name=meta["name"],
        uid=meta["uid"],
        address=status.get("podIP", ""),
        ready=ready.get("status") == "True",
        ready_since=moment(ready.get("lastTransitionTime")),
        leaving="deletionTimestamp" in meta,
        restarts=sum(one["restartCount"] for one in status.get("containerStatuses", [])),
        image=item["spec"]["containers"][0]["image"],
        cost=int(cost) if cost is not None else None,
    )


def _as_wanted(item: Document) -> bool:
    wanted, status = item["spec"].get("replicas", 1), item["status"]
    if status.get("observedGeneration", 0) < item["metadata"]["generation"]:
        return False
    if "updateStrategy" in item["spec"]:  # a StatefulSet
        follows = item["spec"]["updateStrategy"]["type"] != "OnDelete"
        stale = follows and status.get("currentRevision") != status.get("updateRevision")
        return bool(status.get("readyReplicas", 0) == wanted and not stale)
    return bool(
        status.get("replicas", 0) == wanted
        and status.get("updatedReplicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )
