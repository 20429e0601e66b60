"""Who asks the API server, and where it is: a service account in a cluster, a kubeconfig else."""

from __future__ import annotations

import os
from pathlib import Path

import kopf

from hubbub.runtime import CannotStart
from services.operator.settings import OperatorSettings


def find_access(settings: OperatorSettings) -> kopf.ConnectionInfo:
    """The address and the credentials of the moment; tokens of pods are renewed every hour.

    Raises:
        CannotStart: there are none.
    """
    folder = settings.account_folder
    token = _text(folder / "token")
    server = settings.api_url or _address_in_pod()
    if server and (token or settings.api_url):
        authority = folder / "ca.crt"
        return kopf.ConnectionInfo(
            server=server,
            ca_path=str(authority) if authority.exists() else None,
            token=token or None,
            default_namespace=settings.namespace or _text(folder / "namespace") or None,
        )
    try:
        found = kopf.login_with_kubeconfig(settings=kopf.OperatorSettings())
    except (kopf.LoginError, OSError, KeyError) as error:
        raise CannotStart(f"the kubeconfig cannot be used: {error!r}") from None
    if found is None:
        raise CannotStart(
            "no Kubernetes: there is neither a service account nor a kubeconfig; "
            "name one by KUBECONFIG, or set HUBBUB_OPERATOR_API_URL"
        )
    return found


def find_namespace(settings: OperatorSettings, access: kopf.ConnectionInfo) -> str:
    """The namespace to look after."""
    return settings.namespace or access.default_namespace or "default"


def _address_in_pod() -> str:
    host, port = (
        os.environ.get("KUBERNETES_SERVICE_HOST"),
        os.environ.get("KUBERNETES_SERVICE_PORT", "443"),
    )
    if not host:
        return ""
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
