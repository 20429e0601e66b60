"""What the operator asks of the API server: the rules of its Role, and nothing beyond them.

The chart renders its Role from the same facts; a test compares this list with every request that
the operator makes. Reading the lists of API groups and versions, which it also does, is open to
every service account of a cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Right:
    """One rule of a Role."""

    group: str
    """API group; the core group is the empty one."""
    resource: str
    """Plural name, with the subresource behind a slash."""
    verbs: tuple[str, ...]
    needed: Literal["always", "managed", "apps"] = "always"
    """`managed`: only for pools of mode Manage; `apps`: only where apps are declared."""


RIGHTS = (
    Right("hubbub.dev", "streamerpools", ("get", "list", "watch")),
    Right("hubbub.dev", "streamerpools", ("patch",), needed="managed"),
    Right("hubbub.dev", "streamerpools/status", ("patch",)),
    Right("", "pods", ("list", "patch")),
    Right("", "events", ("create",)),
    Right("apps", "deployments", ("get",)),
    Right("apps", "deployments/scale", ("patch",), needed="managed"),
    Right("hubbub.dev", "hubbubapps", ("get", "list", "watch", "patch"), needed="apps"),
    Right("hubbub.dev", "hubbubapps/status", ("patch",), needed="apps"),
    Right("", "configmaps", ("get",), needed="apps"),
    Right("", "secrets", ("get",), needed="apps"),
)
"""Pods are patched for the deletion cost alone. A pool is patched to take over the replicas that
somebody gave to its deployment by hand. Replicas are set through the subresource `scale`, so the
operator cannot change anything else of a deployment. Apps are patched for their finalizer alone.
ConfigMaps and Secrets are read where an app names them; the chart's Role says which may be."""

RELEASE_RIGHTS = (Right("hubbub.dev", "hubbubapps", ("get", "list", "delete", "patch")),)
"""What `hubbub operator release` asks for, before everything goes."""
