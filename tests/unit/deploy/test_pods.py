"""What runs: probes, ports, rights, grace periods, images, and how it is found."""

from __future__ import annotations

import math
import re
from importlib import metadata
from typing import Any

import pytest

from hubbub.cli.main import COMMANDS
from tests.unit.deploy.chart import Installation, Manifest, selects

_IDENTITY = {
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
}
_PATHS = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}


def test_selectors_name_who_a_pod_is_and_nothing_that_changes(installation: Installation) -> None:
    for workload in installation.workloads():
        selector = workload["spec"]["selector"]["matchLabels"]

        assert set(selector) == _IDENTITY
        assert selects(selector, workload["spec"]["template"]["metadata"]["labels"])


def test_no_two_workloads_fight_for_the_same_pods(installation: Installation) -> None:
    workloads = installation.workloads()
    for one in workloads:
        chosen = [
            other["metadata"]["name"]
            for other in workloads
            if selects(
                one["spec"]["selector"]["matchLabels"],
                other["spec"]["template"]["metadata"]["labels"],
            )
        ]

        assert chosen == [one["metadata"]["name"]]


def test_every_service_has_the_three_probes(installation: Installation) -> None:
    """And nothing else restarts a pod: liveness asks no other service."""
    for service in installation.services():
        container = _main(service["spec"]["template"])
        for probe, path in _PATHS.items():
            assert container[probe]["httpGet"] == {"path": path, "port": "ops"}
        startup = container["startupProbe"]
        assert startup["periodSeconds"] * startup["failureThreshold"] >= 60


def test_ports_have_names_and_everybody_uses_names_that_exist(installation: Installation) -> None:
    pods = dict(installation.pods())
    for pod in pods.values():
        for container in pod["spec"]["containers"]:
            ports = container.get("ports", ())
            assert all(port.get("name") for port in ports)
            names = {port["name"] for port in ports}
            for probe in _PATHS:
                action = container.get(probe, {})
                port = (action.get("httpGet") or action.get("tcpSocket") or {}).get("port")
                assert port is None or port in names
    for service in installation.kind("Service"):
        [names] = [
            {port["name"] for one in pod["spec"]["containers"] for port in one.get("ports", ())}
            for pod in pods.values()
            if selects(service["spec"]["selector"], pod["metadata"]["labels"])
        ]
        for port in service["spec"]["ports"]:
            assert port["name"]
            assert port["targetPort"] in names


def test_pods_pass_the_restricted_standard(installation: Installation) -> None:
    for name, pod in installation.pods():
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "privileged" not in security
            assert not any("hostPort" in port for port in container.get("ports", ()))
        kinds = {key for volume in spec["volumes"] for key in volume if key != "name"}
        assert kinds <= {"emptyDir", "projected", "configMap", "secret", "persistentVolumeClaim"}
        written = {mount["mountPath"] for one in spec["containers"] for mount in _mounts(one)}
        assert "/tmp" in written


def test_only_the_operator_may_talk_to_kubernetes(installation: Installation) -> None:
    for name, pod in installation.pods():
        its_own = name in ("hubbub-operator", "hubbub-operator-release")
        assert pod["spec"]["automountServiceAccountToken"] is its_own, name
    for account in installation.kind("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def test_images_are_of_a_version(installation: Installation) -> None:
    for _, pod in installation.pods():
        for container in pod["spec"]["containers"]:
            assert re.search(r"(:[\w.-]+|@sha256:[0-9a-f]{64})$", container["image"])
            assert not container["image"].endswith(":latest")


def test_memory_has_a_limit_and_the_processor_has_none(installation: Installation) -> None:
    """A limit of the processor shows up as latency of delivery."""
    for name, pod in installation.pods():
        for container in pod["spec"]["containers"]:
            assert "memory" in container["resources"]["limits"], name
            assert "cpu" not in container["resources"]["limits"]
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])


def test_containers_run_commands_that_exist(installation: Installation) -> None:
    services = {entry.name for entry in metadata.entry_points(group="hubbub.services")}
    for name, pod in installation.pods():
        container = _main(pod)
        if "hubbub" not in container["image"]:
            continue
        command, *rest = container["args"]
        assert command in COMMANDS, name
        if command == "run":
            assert rest[0] in services | {"operator"}


def test_every_service_is_deployed(installation: Installation) -> None:
    """The operator only where it is asked for."""
    components = {"ddp-streamer": "streamer"}
    entries = {entry.name for entry in metadata.entry_points(group="hubbub.services")}
    wanted = {components.get(name, name) for name in entries - {"operator"}}
    wanted -= {name for name in wanted if installation.values[name].get("enabled") is False}
    deployed = {
        one["metadata"]["labels"]["app.kubernetes.io/component"] for one in installation.services()
    }

    assert deployed - {"operator"} == wanted


def test_a_drain_fits_into_the_grace_period(installation: Installation) -> None:
    """The process ends by itself before it would be killed, with time to tell so."""
    for service in installation.services():
        spec = service["spec"]["template"]["spec"]
        environment = environment_of(_main(service["spec"]["template"]))
        sleep = _main({"spec": spec}).get("lifecycle", {}).get("preStop", {}).get("sleep", {})
        grace = spec["terminationGracePeriodSeconds"] - sleep.get("seconds", 0)
        deadline = float(environment["HUBBUB_DRAIN_DEADLINE"])
        assert deadline == grace - 5
        if "HUBBUB_STREAMER_DRAIN_WINDOW" in environment:
            delay, window, patience = (
                float(environment[f"HUBBUB_STREAMER_DRAIN_{name}"])
                for name in ("DELAY", "WINDOW", "PATIENCE")
            )
            assert grace >= delay + window + 10 + 15
            assert delay >= 5
            assert delay + window + patience < deadline
        if "HUBBUB_GATEWAY_DRAIN_DELAY" in environment:
            # Running requests get HUBBUB_GATEWAY_SHUTDOWN_TIMEOUT after it, 20 s by default.
            assert float(environment["HUBBUB_GATEWAY_DRAIN_DELAY"]) + 20 < deadline


def test_rolling_updates_take_nothing_away_before_there_is_more(installation: Installation) -> None:
    for service in installation.services():
        strategy = service["spec"]["strategy"]
        if service["metadata"]["name"] in ("hubbub-operator", "hubbub-apps-engine"):
            assert strategy == {"type": "Recreate"}
            assert service["spec"]["replicas"] == 1
        else:
            assert strategy["rollingUpdate"]["maxUnavailable"] == 0


def test_disruption_budgets_never_hold_a_node_back(installation: Installation) -> None:
    """Not at one replica, never a least number, and pods that do not work may always go."""
    replicas = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]: least_replicas(installation, one)
        for one in installation.workloads()
    }
    for budget in installation.kind("PodDisruptionBudget"):
        component = budget["metadata"]["labels"]["app.kubernetes.io/component"]
        assert replicas[component] > 1, component
        assert "minAvailable" not in budget["spec"]
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        assert _rounded_up(budget["spec"]["maxUnavailable"], replicas[component]) >= 1
    protected = {
        one["metadata"]["labels"]["app.kubernetes.io/component"]
        for one in installation.kind("PodDisruptionBudget")
    }
    assert {name for name, count in replicas.items() if count > 1} == protected


def test_replicas_are_left_to_whoever_scales(installation: Installation) -> None:
    scaled = {
        one["spec"]["scaleTargetRef"]["name"]
        for one in installation.kind("HorizontalPodAutoscaler", "ScaledObject")
    }
    scaled |= {
        one["spec"]["deploymentRef"]["name"]
        for one in installation.kind("StreamerPool")
        if one["spec"]["mode"] == "Manage"
    }
    for service in installation.services():
        name = service["metadata"]["name"]
        component = service["metadata"]["labels"]["app.kubernetes.io/component"]
        elsewhere = name in scaled or installation.values[component].get("externalScaling", False)
        assert ("replicas" not in service["spec"]) == elsewhere, name


def test_pods_are_spread_unless_somebody_decides_otherwise(installation: Installation) -> None:
    for service in installation.services():
        component = service["metadata"]["labels"]["app.kubernetes.io/component"]
        if "topologySpreadConstraints" in installation.values[component]:
            continue
        constraints = service["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in constraints} == {
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        }
        for one in constraints:
            assert one["whenUnsatisfiable"] == "ScheduleAnyway"
            assert one["labelSelector"] == service["spec"]["selector"]


@pytest.mark.parametrize("server", ["mongodb", "nats"])
def test_servers_of_the_release_keep_their_data_where_they_are_told(
    installation: Installation, server: str
) -> None:
    for workload in installation.kind("StatefulSet"):
        if workload["metadata"]["name"] != f"hubbub-{server}":
            continue
        volumes = {volume["name"] for volume in workload["spec"]["template"]["spec"]["volumes"]}
        claims = {
            one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", [])
        }
        assert ("data" in volumes) != ("data" in claims)


def environment_of(container: Manifest) -> dict[str, str]:
    """Variable → value, of those that have one."""
    return {one["name"]: one["value"] for one in container.get("env", ()) if "value" in one}


def least_replicas(installation: Installation, workload: Manifest) -> int:
    """How many pods a workload has when it has the fewest."""
    name = workload["metadata"]["name"]
    for scaler in installation.kind("HorizontalPodAutoscaler", "ScaledObject"):
        if scaler["spec"]["scaleTargetRef"]["name"] == name:
            least: Any = scaler["spec"].get("minReplicas", scaler["spec"].get("minReplicaCount"))
            return int(least)
    component = workload["metadata"]["labels"]["app.kubernetes.io/component"]
    fallback = installation.values.get(component, {}).get(
        "replicas", installation.values["defaults"]["replicas"]
    )
    return int(workload["spec"].get("replicas", fallback))


def _main(pod: Manifest) -> Manifest:
    return dict(pod["spec"]["containers"][0])


def _mounts(container: Manifest) -> list[Manifest]:
    return [mount for mount in container.get("volumeMounts", ()) if not mount.get("readOnly")]


def _rounded_up(count: int | str, of: int) -> int:
    """As Kubernetes reads a percentage of a budget."""
    return math.ceil(int(count[:-1]) * of / 100) if isinstance(count, str) else count
