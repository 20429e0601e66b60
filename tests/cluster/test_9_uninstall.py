"""`helm uninstall` at the end of it all."""

from __future__ import annotations

import asyncio

from tests.cluster.conftest import Installed, objects_elsewhere, timed
from tests.cluster.kubernetes import Namespace, run
from tests.cluster.pools import DEFINITIONS
from tests.cluster.report import Report
from tests.waiting import eventually

GONE_WITHIN = 180.0  # seconds
LEFT = {
    "APIService <none> v1alpha1.hubbub.dev",
    *(f"CustomResourceDefinition <none> {name}" for name in DEFINITIONS),
}
"""Stays for other releases; the first is made by Kubernetes because of the others."""
OF_OTHERS = {
    *("ConfigMap kube-root-ca.crt", "ServiceAccount default"),
    *("ConfigMap packages", "Secret reminders"),
}
"""What every namespace has, and what the tests put there as people do."""


async def test_nothing_is_left_but_definitions(installed: Installed, report: Report) -> None:
    """Declared apps go first, while somebody is there to remove them; then the operator goes at
    the same time as what it looks after. Nothing waits for it."""
    release = installed.release
    namespace = release.namespace
    async with timed(report, "helm uninstall until nothing is left"):
        await namespace.helm("uninstall", release.name)
        await eventually(
            lambda: _is_empty(namespace), within=GONE_WITHIN, what="the namespace is empty"
        )

    left = await objects_elsewhere(namespace) - installed.before
    assert left <= LEFT
    if left:
        report.figure("left by helm uninstall, as its notes say", ", ".join(sorted(left)))
        # We brought it; others may come with their own.
        await run("kubectl", "delete", "crd", *DEFINITIONS, "--ignore-not-found", within=60)


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
    found = {" ".join(line.split()) for line in told.splitlines()} - OF_OTHERS
    return not found
