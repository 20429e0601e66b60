"""`helm uninstall` at the end of it all."""

from __future__ import annotations

import asyncio

from tests.cluster.conftest import Installed, objects_elsewhere, timed
from tests.cluster.kubernetes import Namespace, run
from tests.cluster.report import Report
from tests.waiting import eventually

GONE_WITHIN = 180.0  # seconds
DEFINITION = {
    "APIService <none> v1alpha1.hubbub.dev",
    "CustomResourceDefinition <none> streamerpools.hubbub.dev",
}
"""Stays for other releases; the first is made by Kubernetes because of the second."""
OF_KUBERNETES = {"ConfigMap kube-root-ca.crt", "ServiceAccount default"}
"""What every namespace has."""


async def test_nothing_is_left_but_definitions(installed: Installed, report: Report) -> None:
    """The operator goes at the same time as what it looks after; nothing waits for it."""
    release = installed.release
    namespace = release.namespace
    async with timed(report, "helm uninstall until nothing is left"):
        await namespace.helm("uninstall", release.name)
        await eventually(
            lambda: _is_empty(namespace), within=GONE_WITHIN, what="the namespace is empty"
        )

    left = await objects_elsewhere(namespace) - installed.before
    assert left <= DEFINITION
    if left:
        report.figure("left by helm uninstall, as its notes say", ", ".join(sorted(left)))
        # We brought it; others may come with their own.
        await run("kubectl", "delete", "crd", "streamerpools.hubbub.dev", within=60)


async def _is_empty(namespace: Namespace) -> bool:
    await asyncio.sleep(1.0)
    listed = await run("kubectl", "api-resources", "--verbs=list", "--namespaced", "-o", "name")
    kinds = [
        kind
        for kind in listed.split()
        if kind.partition(".")[0] != "events" and "metrics.k8s.io" not in kind
    ]
    told = await namespace.kubectl(
        *("get", ",".join(kinds), "--no-headers", "--ignore-not-found"),
        *("-o", "custom-columns=KIND:.kind,NAME:.metadata.name"),
    )
    found = {" ".join(line.split()) for line in told.splitlines()} - OF_KUBERNETES
    return not found
