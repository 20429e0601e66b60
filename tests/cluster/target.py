"""Which cluster is tested, with which images; said by variables of the environment."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
ASKED_FOR = "HUBBUB_CLUSTER_TESTS"
"""Set by `make cluster-test`; without it no test of this folder is collected."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the tests are told from outside."""

    image: str
    """`HUBBUB_CLUSTER_IMAGE`: what is installed. The cluster must be able to get it."""
    next_image: str
    """`HUBBUB_CLUSTER_NEXT_IMAGE`: what is upgraded to."""
    prometheus: str
    """`HUBBUB_CLUSTER_PROMETHEUS`: address of one that scrapes all pods' ports named `ops` and
    `metrics`."""
    exporter_image: str
    """`HUBBUB_CLUSTER_EXPORTER_IMAGE`: it tells of NATS servers. Empty: nothing does."""
    by_node: bool
    """`HUBBUB_CLUSTER_REACH=node`: through ports of nodes, not addresses of Services."""
    keep: bool
    """`HUBBUB_CLUSTER_KEEP=1`: the namespace stays, to look into it."""
    report: Path
    """`HUBBUB_CLUSTER_REPORT`: where the figures are written, as JSON."""

    def lacking(self) -> str:
        """Why nothing can be tested; empty when it can."""
        if not os.environ.get("KUBECONFIG"):
            return "KUBECONFIG names no cluster"
        missing = [name for name in ("kubectl", "helm") if shutil.which(name) is None]
        return f"not on the PATH: {', '.join(missing)}" if missing else ""


def asked_for() -> bool:
    """Whether somebody wants these tests to run."""
    return os.environ.get(ASKED_FOR) == "1"


def from_environment() -> Target:
    """What the variables say."""
    environment = os.environ
    return Target(
        image=environment.get("HUBBUB_CLUSTER_IMAGE", "hubbub:dev"),
        next_image=environment.get("HUBBUB_CLUSTER_NEXT_IMAGE", "hubbub:next"),
        prometheus=environment.get("HUBBUB_CLUSTER_PROMETHEUS", "").rstrip("/"),
        exporter_image=environment.get("HUBBUB_CLUSTER_EXPORTER_IMAGE", ""),
        by_node=environment.get("HUBBUB_CLUSTER_REACH", "service") == "node",
        keep=environment.get("HUBBUB_CLUSTER_KEEP") == "1",
        report=Path(
            environment.get("HUBBUB_CLUSTER_REPORT", str(ROOT / "build" / "cluster-test.json"))
        ),
    )
