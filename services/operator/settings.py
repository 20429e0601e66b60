"""Settings of the operator."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from hubbub.settings import Settings

_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class OperatorSettings(Settings):
    """Where the cluster is, and how often it is looked at."""

    model_config = SettingsConfigDict(env_prefix="HUBBUB_OPERATOR_")

    namespace: str = ""
    """Namespace whose pools and apps are looked after; empty: the one of the service account, or
    of the kubeconfig."""
    api_url: str = ""
    """Address of the API server; empty: the one that Kubernetes tells its pods, or else the
    current context of the kubeconfig."""
    account_folder: Path = _ACCOUNT
    """Folder with `token`, `ca.crt` and `namespace` of the service account. The token is read
    again as Kubernetes renews it."""
    interval: float = Field(default=5.0, gt=0, le=30)
    """Seconds between two looks at a pool. Streamers report as often."""
    apps: bool = True
    """Whether declared apps are looked after too."""
    app_interval: float = Field(default=60.0, gt=0, le=600)
    """Seconds between two looks at a declared app: what was changed by hand is put back."""
    app_retry: float = Field(default=15.0, gt=0, le=600)
    """Seconds until the next look where something was lacking, as the apps engine."""
    silent_after: float = Field(default=20.0, gt=0)
    """Seconds without a report after which a streamer is asked by its operations port."""
    patch_interval: float = Field(default=1.0, gt=0)
    """Least seconds between two changes of pods, over all pools: each one is an event that every
    watcher of pods gets."""
    request_timeout: float = Field(default=10.0, gt=0, le=30)
    """Seconds that one request to the API server may take."""
