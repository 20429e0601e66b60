"""Reading objects as API servers write them, and the CRD that says what may be written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.operator.declared import APPS
from services.operator.domain.conditions import Type
from services.operator.domain.costs import ANNOTATION
from services.operator.resources import (
    GROUP,
    POOLS,
    VERSION,
    ConditionPart,
    Deployment,
    PodStatus,
    PoolSpec,
    PoolStatus,
    StreamerPool,
    live_pods,
    pod_of,
)
from services.operator.rights import RIGHTS

CRD = yaml.safe_load(
    (Path(__file__).parents[3] / "deploy" / "crds" / "streamerpools.yaml").read_text()
)
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def pod(**changes: Any) -> dict[str, Any]:
    """A pod with a proxy beside the streamer."""
    return {
        "metadata": {
            "name": "streamer-1",
            "uid": "u1",
            "creationTimestamp": "2026-01-01T12:00:00Z",
            **changes.get("metadata", {}),
        },
        "spec": {
            "containers": [
                {"name": "proxy", "ports": [{"containerPort": 15000}]},
                {"name": "streamer", "ports": [{"name": "ops", "containerPort": 9090}]},
            ]
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.7",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "True"},
            ],
            "containerStatuses": [
                {"name": "proxy", "state": {"running": {}}, "restartCount": 7},
                {"name": "streamer", "state": {"running": {}}, "restartCount": 2},
            ],
            **changes.get("status", {}),
        },
    }


def test_the_streamers_container_counts() -> None:
    """It is the one with an operations port."""
    found = pod_of(pod())

    assert (found.ip, found.ops_port, found.restarts) == ("10.0.0.7", 9090, 2)
    assert found.scheduled
    assert found.running
    assert found.ready
    assert found.cost is None
    assert found.created == datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_pod_that_is_only_planned() -> None:
    """Nothing is known of it but its name."""
    bare = pod()
    del bare["status"]
    found = pod_of(bare)

    assert (found.scheduled, found.running, found.ready) == (False, False, False)


@pytest.mark.parametrize(("text", "cost"), [("7", 7), ("-2147483648", -(2**31)), ("x", None)])
def test_the_cost_that_is_there(text: str, cost: int | None) -> None:
    """What is no number counts as absent, as Kubernetes has it."""
    assert pod_of(pod(metadata={"annotations": {ANNOTATION: text}})).cost == cost


def test_who_wrote_the_cost() -> None:
    """Other fields of other managers do not matter."""
    ours: dict[str, Any] = {"f:metadata": {"f:annotations": {f"f:{ANNOTATION}": {}}}}
    entries = [
        {"manager": "kubelet", "fieldsV1": {"f:status": {}}},
        {"manager": "hubbub-operator", "time": "2026-01-01T12:00:00Z", "fieldsV1": ours},
        {"manager": "karpenter", "time": "2026-01-01T13:00:00Z", "fieldsV1": ours},
    ]
    found = pod_of(pod(metadata={"managedFields": entries}))

    assert found.cost_set_at == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert found.cost_owners == {"karpenter"}


def test_pods_that_are_gone_are_no_members() -> None:
    """Deleted ones still answer for a while, evicted ones are kept for people to look at."""
    items = [
        pod(metadata={"deletionTimestamp": "2026-01-01T12:00:00Z"}),
        pod(status={"phase": "Failed"}),
        pod(),
    ]

    assert len(live_pods(items)) == 1


def deployment(**status: int) -> Deployment:
    """A deployment of generation 4."""
    metadata = {"name": "streamer", "generation": 4, "resourceVersion": "9"}
    return Deployment.model_validate({"metadata": metadata, "status": status})


def test_when_a_deployment_rolls_out() -> None:
    """Until its controller has seen the newest template and replaced all pods."""
    assert deployment(observedGeneration=3, replicas=3, updatedReplicas=3).rolling_out
    assert deployment(observedGeneration=4, replicas=4, updatedReplicas=1).rolling_out
    assert not deployment(observedGeneration=4, replicas=3, updatedReplicas=3).rolling_out


def test_selectors() -> None:
    """Every operator that a deployment may have."""
    selector = {
        "matchLabels": {"b": "2", "a": "1"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["y", "x"]},
            {"key": "d", "operator": "NotIn", "values": ["z"]},
            {"key": "e", "operator": "Exists"},
            {"key": "f", "operator": "DoesNotExist"},
        ],
    }
    found = Deployment.model_validate({"metadata": {"name": "s"}, "spec": {"selector": selector}})

    assert str(found.spec.selector) == "a=1,b=2,c in (x,y),d notin (z),e,!f"


def test_a_status_comes_back_as_it_was_written() -> None:
    """All of it, to the microsecond where that matters."""
    moment = datetime(2026, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)
    status = PoolStatus(
        observed_generation=3,
        pods=[PodStatus(name="a", cost=4, phase="Draining", drain_since=moment, drain_restarts=1)],
        applied_replicas=5,
        applying_replicas=3,
        shed_until=moment,
    )
    again = PoolStatus.model_validate(status.written())

    assert again.written() == status.written()
    assert again.shed_until == moment
    assert again.pods[0].drain_since == moment.replace(microsecond=0)
    leaver = again.pods[0].leaver()
    assert leaver is not None
    assert leaver.begun
    assert not leaver.drained


def test_the_crd_is_of_the_kind_that_is_watched() -> None:
    """Its name, its subresources, and the rights that name it."""
    version = CRD["spec"]["versions"][0]

    assert CRD["metadata"]["name"] == f"{POOLS}.{GROUP}"
    assert (CRD["spec"]["group"], version["name"]) == (GROUP, VERSION)
    assert {right.resource for right in RIGHTS if right.group == GROUP} == {
        f"{plural}{part}" for plural in (POOLS, APPS) for part in ("", "/status")
    }
    assert version["subresources"]["scale"] == {
        "specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",
    }
    assert [column["name"] for column in version["additionalPrinterColumns"]] == (
        "Mode Desired Ready Connections Imbalance Draining Age".split()
    )


def test_columns_show_what_the_schema_has() -> None:
    """A column of a field that is not there stays empty for ever."""
    for column in CRD["spec"]["versions"][0]["additionalPrinterColumns"]:
        top, name = column["jsonPath"].split(".")[1:]
        if top != "metadata":
            assert name in SCHEMA[top]["properties"], column


def fields(model: type[Any]) -> set[str]:
    """Names of a model's fields as they are written."""
    return {info.alias or name for name, info in model.model_fields.items()}


def test_the_schema_has_what_the_operator_reads_and_writes() -> None:
    """An API server drops other fields without a word."""
    spec, status = SCHEMA["spec"]["properties"], SCHEMA["status"]["properties"]

    assert fields(PoolSpec) == set(spec)
    for name in ("drain", "deletionCost", "rebalance"):
        part = next(info for info in PoolSpec.model_fields.values() if info.alias == name)
        assert fields(type(part.default)) == set(spec[name]["properties"])
    assert fields(PoolStatus) == set(status)
    assert fields(PodStatus) == set(status["pods"]["items"]["properties"])
    assert fields(ConditionPart) == set(status["conditions"]["items"]["properties"])


def test_both_sides_have_the_same_defaults() -> None:
    """A pool that says nothing means the same with the API server's defaults and without."""
    spec = SCHEMA["spec"]["properties"]
    stated: dict[str, Any] = {"deploymentRef": {"name": "x"}, "mode": spec["mode"]["default"]}
    for name in ("drain", "deletionCost", "rebalance"):
        stated[name] = {
            field: schema["default"] for field, schema in spec[name]["properties"].items()
        }

    assert PoolSpec.model_validate(stated) == PoolSpec.model_validate(
        {"deploymentRef": {"name": "x"}}
    )


def test_the_schema_is_structural() -> None:
    """Each node has a type; nothing is kept that is not described."""

    def check(node: dict[str, Any], path: str) -> None:
        assert "type" in node, path
        assert "x-kubernetes-preserve-unknown-fields" not in node, path
        for name, sub in node.get("properties", {}).items():
            check(sub, f"{path}.{name}")
        if node["type"] == "array":
            check(node["items"], f"{path}[]")

    check(CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "")


def test_conditions_are_those_that_kubernetes_knows() -> None:
    """All five fields are required, and every type that is written has a name of one word."""
    items = SCHEMA["status"]["properties"]["conditions"]["items"]

    assert set(items["required"]) == set("type status reason message lastTransitionTime".split())
    assert set(Type.__args__) == set(  # type: ignore[attr-defined]
        "Ready Progressing Draining Balanced DeletionCostConflict"
        " Installed Enabled PermissionsGranted Healthy".split()
    )


def test_a_pool_from_the_api_server() -> None:
    """What is unknown is ignored, ratios are texts."""
    pool = StreamerPool.model_validate(
        {
            "apiVersion": "hubbub.dev/v1alpha1",
            "kind": "StreamerPool",
            "metadata": {"name": "p", "labels": {"a": "b"}, "resourceVersion": "7"},
            "spec": {
                "deploymentRef": {"name": "s"},
                "rebalance": {"enabled": True, "ratio": "1.75", "targetRatio": "1.1"},
                "later": 1,
            },
        }
    )

    assert pool.spec.rebalance.ratio == 1.75
    assert pool.spec.rebalance.target_ratio == 1.1
    assert pool.metadata.resource_version == "7"
