"""Who may talk to whom, and how Hubbub is reached."""

from __future__ import annotations

from typing import Any

from tests.unit.deploy.chart import Installation, Manifest, selects

_MONGO, _NATS, _OPS, _HTTP = 27017, 4222, 8081, 3000


def test_every_port_of_every_pod_is_in_a_policy(installation: Installation) -> None:
    if not installation.values["networkPolicy"]["enabled"]:
        assert not installation.kind("NetworkPolicy")
        return
    for workload in installation.workloads():
        template = workload["spec"]["template"]
        [policy] = [
            one
            for one in installation.kind("NetworkPolicy")
            if selects(one["spec"]["podSelector"]["matchLabels"], template["metadata"]["labels"])
        ]
        allowed = {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]}
        alone = workload["spec"].get("replicas") == 1
        for container in template["spec"]["containers"]:
            for port in container.get("ports", ()):
                if port["name"] == "routes" and alone:
                    continue  # nobody else is there
                assert {port["name"], port["containerPort"]} & allowed, workload["metadata"]["name"]


def test_only_what_needs_the_database_reaches_it(installation: Installation) -> None:
    for policy in installation.kind("NetworkPolicy"):
        if "egress" not in policy["spec"]:
            continue
        component = policy["metadata"]["labels"]["app.kubernetes.io/component"]
        ports = {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}
        assert (_NATS in ports) == (component not in {"migrate", "operator-release"}), component
        without = {"streamer", "operator", "operator-release"}
        assert (_MONGO in ports) == (component not in without), component


def test_every_pod_may_ask_for_names(installation: Installation) -> None:
    for policy in installation.kind("NetworkPolicy"):
        if "egress" in policy["spec"]:
            protocols = {
                port["protocol"]
                for rule in policy["spec"]["egress"]
                for port in rule["ports"]
                if port["port"] == 53
            }
            assert protocols == {"UDP", "TCP"}


def test_the_operations_port_is_for_those_who_are_named(installation: Installation) -> None:
    for policy in installation.kind("NetworkPolicy"):
        for rule in policy["spec"]["ingress"]:
            ports = {port["port"] for port in rule["ports"]}
            assert ports == {"http"} or rule["from"], policy["metadata"]["name"]


def test_sockets_go_to_the_streamers_and_all_else_to_the_gateways(
    installation: Installation,
) -> None:
    """Both kinds of routes say the same."""
    routes = installation.kind("HTTPRoute", "Ingress")
    enabled = [installation.values[name]["enabled"] for name in ("httpRoute", "ingress")]
    assert len(routes) == sum(enabled)
    for route in routes:
        assert _paths(route) == {
            "/websocket": "hubbub-streamer",
            "/sockjs": "hubbub-streamer",
            "/hubbub": "hubbub-streamer",
            "/": "hubbub-gateway",
        }
        assert not route["metadata"].get("annotations")
        for name in set(_paths(route).values()):
            service = installation.named("Service", name)
            assert [port["port"] for port in service["spec"]["ports"]] == [_HTTP]


def test_a_route_is_a_proxy_to_count(installation: Installation) -> None:
    """Else every client would have the address of the proxy, or could choose its own."""
    for service in installation.services():
        environment = {
            one["name"]: one["value"]
            for one in service["spec"]["template"]["spec"]["containers"][0]["env"]
        }
        count = environment.get("HUBBUB_HTTP_FORWARDED_COUNT")
        if count is not None and installation.values.get("forwardedCount") is None:
            assert count == str(len(installation.kind("HTTPRoute", "Ingress")))


def test_no_service_sticks_clients_to_a_pod(installation: Installation) -> None:
    for service in installation.kind("Service"):
        assert service["spec"].get("sessionAffinity", "None") == "None"


def _paths(route: Manifest) -> dict[str, str]:
    found: dict[str, str] = {}
    for rule in route["spec"]["rules"]:
        if route["kind"] == "HTTPRoute":
            [backend] = rule["backendRefs"]
            found |= {match["path"]["value"]: backend["name"] for match in rule["matches"]}
        else:
            paths: list[Any] = rule["http"]["paths"]
            found |= {path["path"]: path["backend"]["service"]["name"] for path in paths}
    return found
