"""Render the chart into plain manifests for kustomize: `make manifests`.

    python deploy/k8s/render.py            writes deploy/k8s
    python deploy/k8s/render.py --check    says what is not current; exit status 1

Needs `helm` on the PATH, or named by HELM.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

K8S = Path(__file__).resolve().parent
CHART = K8S.parent / "helm" / "hubbub"
KUBERNETES = "1.30.0"
"""The oldest version that the manifests are for."""

_COMPONENT = re.compile(r"^    app\.kubernetes\.io/component: (\S+)$", re.MULTILINE)
_HELMS_OWN = re.compile(r"^ *(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE)
_NOTE = "# Made from the chart by `make manifests`; edit the chart instead.\n"
_SERVERS = ("mongodb", "nats")


class Unusable(Exception):
    """Helm is not there, or the chart does not render."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Render the chart for kustomize.")
    parser.add_argument("--check", action="store_true", help="write nothing, say what differs")
    chosen = parser.parse_args(arguments)
    try:
        wanted = files()
    except Unusable as error:
        print(f"render: {error}", file=sys.stderr)
        return 2
    if chosen.check:
        differing = stale(wanted)
        for path in differing:
            print(f"not current: {path.relative_to(K8S)}; run `make manifests`", file=sys.stderr)
        return 1 if differing else 0
    for path in stale(wanted):
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path])
        else:
            path.unlink()
    return 0


def files() -> dict[Path, str]:
    """Every file that is made, with what belongs into it. Raises: Unusable."""
    services = split(rendered("--values", str(K8S / "base-values.yaml")))
    base = {name: text for name, text in services.items() if name not in _SERVERS}
    alone = split(rendered())
    cluster = split(rendered("--set", "nats.replicas=3,nats.persistence.enabled=true"))
    made = {K8S / "base" / f"{name}.yaml": text for name, text in base.items()}
    made[K8S / "base" / "kustomization.yaml"] = kustomization(sorted(base))
    for name in _SERVERS:
        made[K8S / "overlays" / "dev" / f"{name}.yaml"] = alone[name]
    made[K8S / "overlays" / "ha" / "nats.yaml"] = cluster["nats"]
    return made


def stale(wanted: dict[Path, str]) -> list[Path]:
    """Files that differ from what is wanted, are missing, or should not be there."""
    present = set((K8S / "base").glob("*.yaml"))
    differing = {
        path for path, text in wanted.items() if not path.exists() or path.read_text() != text
    }
    return sorted(differing | (present - set(wanted)))


def rendered(*arguments: str) -> str:
    """What `helm template` makes of the chart. Raises: Unusable."""
    helm = os.environ.get("HELM") or shutil.which("helm")
    if not helm:
        raise Unusable("helm is not on the PATH; set HELM to where it is")
    command = [helm, "template", "hubbub", str(CHART), "--kube-version", KUBERNETES, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise Unusable(done.stderr.strip())
    return done.stdout


def split(manifests: str) -> dict[str, str]:
    """Component → its manifests, without what only Helm wants to read."""
    parts: dict[str, list[str]] = {}
    for document in re.split(r"^---\n", manifests, flags=re.MULTILINE):
        text = re.sub(r"^# Source: .*\n", "", document, flags=re.MULTILINE).strip()
        if not text or "helm.sh/hook" in text:
            continue
        component = _COMPONENT.search(text)
        if component is None:
            raise Unusable(f"a manifest without a component:\n{text[:200]}")
        parts.setdefault(component[1], []).append(_HELMS_OWN.sub("", text + "\n"))
    return {name: _NOTE + "---\n".join(texts) for name, texts in sorted(parts.items())}


def kustomization(components: Sequence[str]) -> str:
    """The list of the files beside it."""
    listed = "".join(f"  - {name}.yaml\n" for name in components)
    return (
        f"{_NOTE}apiVersion: kustomize.config.k8s.io/v1beta1\n"
        f"kind: Kustomization\nresources:\n{listed}"
    )


if __name__ == "__main__":
    sys.exit(main())
