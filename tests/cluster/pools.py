"""The operator of a release, and the pool that it looks after."""

from __future__ import annotations

from tests.cluster.kubernetes import Document
from tests.cluster.release import Release
from tests.waiting import eventually

DEFINITIONS = ("streamerpools.hubbub.dev", "hubbubapps.hubbub.dev")
"""Names of the custom resources that the operator's chart brings."""
_DEFINITION = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/streamerpools.hubbub.dev"
OWNER = "meta.helm.sh/release-name"


async def with_operator(release: Release, *, managed: bool, **more: str) -> None:
    """The operator and its pool, with more values. The second upgrade brings the pool: with the
    first one the cluster learns its kind, as the notes say."""
    definition = await release.namespace.get(_DEFINITION)
    theirs = definition is not None and _owner(definition) != release.name
    chosen = {
        "operator__enabled": "true",
        "operator__crds__install": str(not theirs).lower(),
        "operator__managedScaling": str(managed).lower(),
        "streamer__replicas": "3",
        **more,
    }
    notes = await release.upgrade(**chosen)
    if "run the same `helm upgrade` once more" in notes:
        await release.upgrade(**chosen)
    await release.is_ready()
    await eventually(lambda: _is_observed(release), within=60.0, what="the pool has a status")


def _owner(definition: Document) -> str | None:
    owner: str | None = definition["metadata"].get("annotations", {}).get(OWNER)
    return owner


async def _is_observed(release: Release) -> bool:
    pool = await pool_of(release)
    observed = pool.get("status", {}).get("observedGeneration", 0)
    return bool(observed == pool["metadata"]["generation"])


async def pool_of(release: Release) -> Document:
    """The pool, which is there."""
    pool = await release.namespace.object("hubbub.dev/v1alpha1", "streamerpools", release.streamers)
    assert pool is not None
    return pool
