"""The objects of the cluster, as far as the operator reads or writes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer
from pydantic.alias_generators import to_camel

from services.operator.domain.conditions import Condition, Status
from services.operator.domain.costs import ANNOTATION
from services.operator.domain.members import Pod
from services.operator.domain.scaling import Leaver

GROUP, VERSION = "hubbub.dev", "v1alpha1"
POOLS = "streamerpools"
FIELD_MANAGER = "hubbub-operator"
FINALIZER = f"{GROUP}/operator"
"""On objects that must not go before something outside of the cluster went."""
OPS_PORT = "ops"
"""Name of the port of every Hubbub container that offers metrics."""
DEFAULT_OPS_PORT = 8081

Phase = Literal["Serving", "Draining", "Drained"]
Mode = Literal["Advise", "Manage"]


class Part(BaseModel):
    """A piece of an object: names as Kubernetes writes them, what we do not know is ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, frozen=True, extra="ignore"
    )


class Metadata(Part):
    """Who an object is."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int | None = None
    resource_version: str = ""


# -- the pool ---------------------------------------------------------------------------------


class DeploymentRef(Part):
    name: str


class Drain(Part):
    window_seconds: int = 60
    max_reconnect_rate_per_pod: int = 200
    timeout_seconds: int = 600


class DeletionCost(Part):
    enabled: bool = True
    min_interval_seconds: int = 60
    min_replicas: int = 1


class Rebalance(Part):
    enabled: bool = False
    ratio: float = 1.5
    target_ratio: float = 1.2
    after_seconds: int = 300
    percent_per_minute: int = 1


class PoolSpec(Part):
    """What somebody wants of a pool; the defaults are those of the CRD."""

    deployment_ref: DeploymentRef
    mode: Mode = "Advise"
    replicas: int | None = None
    drain: Drain = Drain()
    deletion_cost: DeletionCost = DeletionCost()
    rebalance: Rebalance = Rebalance()


class PodStatus(Part):
    """One pod, as the status shows it; the second half is there only while it is to go."""

    name: str
    connections: int = 0
    cost: int = 0
    phase: Phase = "Serving"

    drain_since: datetime | None = None
    drain_restarts: int | None = None
    drain_instance: str | None = None

    @field_serializer("drain_since")
    def _moment(self, moment: datetime | None) -> str | None:
        return timestamp(moment) if moment is not None else None

    def leaver(self) -> Leaver | None:
        """What is remembered of a pod that is to go; None when it may stay."""
        if self.drain_since is None:
            return None
        return Leaver(
            pod=self.name,
            since=self.drain_since,
            restarts=self.drain_restarts or 0,
            begun=self.phase != "Serving",
            drained=self.phase == "Drained",
            instance=self.drain_instance,
        )


class ConditionPart(Part):
    """A `metav1.Condition`."""

    type: str
    status: Status
    reason: str = ""
    message: str = ""
    last_transition_time: datetime
    observed_generation: int | None = None

    @field_serializer("last_transition_time")
    def _moment(self, moment: datetime) -> str:
        return timestamp(moment)

    @classmethod
    def of(cls, condition: Condition) -> ConditionPart:
        """The same statement, to be written."""
        return cls(
            type=condition.type,
            status=condition.status,
            reason=condition.reason,
            message=condition.message,
            last_transition_time=condition.since,
            observed_generation=condition.generation,
        )

    def plain(self) -> Condition:
        """The same statement, for the rules."""
        return Condition(
            self.type,
            self.status,
            self.reason,
            self.message,
            self.last_transition_time,
            self.observed_generation,
        )


class PoolStatus(Part):
    """What the operator knows of a pool, and all that it must remember of it."""

    observed_generation: int | None = None
    replicas: int | None = None
    ready_replicas: int | None = None
    selector: str | None = None
    connections: int | None = None
    max_connections_per_pod: int | None = None
    imbalance: str | None = None
    draining: int | None = None
    pods: list[PodStatus] = Field(default_factory=list)
    applied_replicas: int | None = None
    applying_replicas: int | None = None
    shed_until: datetime | None = None
    conditions: list[ConditionPart] = Field(default_factory=list)

    @field_serializer("shed_until")
    def _moment(self, moment: datetime | None) -> str | None:
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment is not None else None

    def written(self) -> dict[str, Any]:
        """As it travels; what is None is not there."""
        return self.model_dump(by_alias=True, exclude_none=True)

    def condition(self, name: str) -> Condition | None:
        """The condition of this type, if there is one."""
        return next((one.plain() for one in self.conditions if one.type == name), None)


class StreamerPool(Part):
    """The custom resource."""

    metadata: Metadata
    spec: PoolSpec
    status: PoolStatus = PoolStatus()


# -- what it looks after ----------------------------------------------------------------------


class Selector(Part):
    match_labels: dict[str, str] = Field(default_factory=dict)
    match_expressions: list[dict[str, Any]] = Field(default_factory=list)

    def __str__(self) -> str:
        """As a query and a `scale` subresource want it."""
        parts = [f"{key}={value}" for key, value in sorted(self.match_labels.items())]
        return ",".join([*parts, *map(_requirement, self.match_expressions)])


class DeploymentSpec(Part):
    replicas: int = 1
    selector: Selector = Selector()


class DeploymentStatus(Part):
    observed_generation: int = 0
    replicas: int = 0
    ready_replicas: int = 0
    updated_replicas: int = 0


class Deployment(Part):
    """A deployment of streamers."""

    metadata: Metadata
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()

    @property
    def rolling_out(self) -> bool:
        """Whether pods of an older template are being replaced, or soon will be."""
        behind = self.status.observed_generation < (self.metadata.generation or 0)
        return behind or self.status.updated_replicas < self.status.replicas


def _requirement(expression: dict[str, Any]) -> str:
    key, values = expression["key"], ",".join(sorted(expression.get("values") or ()))
    match expression["operator"]:
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return f"{key}"
        case "DoesNotExist":
            return f"!{key}"
        case other:
            raise ValueError(f"a selector with the operator {other!r}")


def live_pods(items: list[dict[str, Any]]) -> list[Pod]:
    """The pods of a list that nobody has deleted and that have not ended for good."""
    return [
        pod_of(item)
        for item in items
        if "deletionTimestamp" not in item["metadata"]
        and item.get("status", {}).get("phase") not in ("Succeeded", "Failed")
    ]


def pod_of(item: dict[str, Any]) -> Pod:
    """What the rules need of a pod."""
    metadata, status = item["metadata"], item.get("status", {})
    conditions = {one["type"]: one["status"] == "True" for one in status.get("conditions") or ()}
    container, port = _streamer(item.get("spec", {}))
    running, restarts = _running(status.get("containerStatuses") or (), container)
    set_at, owners = _writers(metadata.get("managedFields") or ())
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        created=datetime.fromisoformat(metadata["creationTimestamp"]),
        ip=status.get("podIP", ""),
        ops_port=port,
        scheduled=conditions.get("PodScheduled", False),
        running=running,
        ready=conditions.get("Ready", False),
        restarts=restarts,
        cost=_cost((metadata.get("annotations") or {}).get(ANNOTATION)),
        cost_set_at=set_at,
        cost_owners=owners,
    )


def _streamer(spec: dict[str, Any]) -> tuple[str, int]:
    """Name of the container with an operations port (else of the first), and that port."""
    containers = spec.get("containers") or ()
    for container in containers:
        for port in container.get("ports") or ():
            if port.get("name") == OPS_PORT:
                return container["name"], port["containerPort"]
    return (containers[0]["name"] if containers else "", DEFAULT_OPS_PORT)


def _running(statuses: Any, container: str) -> tuple[bool, int]:
    for status in statuses:
        if status["name"] == container:
            return "running" in (status.get("state") or {}), status.get("restartCount", 0)
    return False, 0


def _cost(text: str | None) -> int | None:
    """The annotation as Kubernetes reads it: what is no integer counts as absent."""
    try:
        return int(text) if text is not None else None
    except ValueError:
        return None


def _writers(managed_fields: Any) -> tuple[datetime | None, frozenset[str]]:
    """When the operator wrote the deletion cost, and which others have a hand in it."""
    set_at: datetime | None = None
    others: set[str] = set()
    for entry in managed_fields:
        fields = entry.get("fieldsV1", {}).get("f:metadata", {}).get("f:annotations", {})
        if f"f:{ANNOTATION}" not in fields:
            continue
        if entry.get("manager") != FIELD_MANAGER:
            others.add(str(entry.get("manager")))
        elif entry.get("time"):
            set_at = datetime.fromisoformat(entry["time"])
    return set_at, frozenset(others)


def timestamp(moment: datetime) -> str:
    """A moment as `metav1.Time` has it: whole seconds, UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
