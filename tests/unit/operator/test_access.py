"""Where the API server is, and who asks."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubbub.runtime import CannotStart
from services.operator.access import find_access, find_namespace
from services.operator.settings import OperatorSettings

KUBECONFIG = """
current-context: here
contexts: [{name: here, context: {cluster: c, user: u, namespace: chat}}]
clusters: [{name: c, cluster: {server: "https://10.0.0.1:6443"}}]
users: [{name: u, user: {token: secret}}]
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a service account, and nothing else anywhere."""
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def in_pod(folder: Path, monkeypatch: pytest.MonkeyPatch, host: str = "10.96.0.1") -> None:
    """What Kubernetes gives to a pod."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    for name, text in (("token", "t1\n"), ("namespace", "chat"), ("ca.crt", "-")):
        (folder / name).write_text(text)


def test_in_a_pod(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The token is read each time: it is renewed while the process runs."""
    in_pod(folder, monkeypatch)
    settings = OperatorSettings(account_folder=folder)
    found = find_access(settings)

    assert found.server == "https://10.96.0.1:443"
    assert found.as_http_headers() == {"Authorization": "Bearer t1"}
    assert found.ca_path == str(folder / "ca.crt")
    assert find_namespace(settings, found) == "chat"

    (folder / "token").write_text("t2")
    assert find_access(settings).token == "t2"


def test_an_address_of_version_six(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in brackets."""
    in_pod(folder, monkeypatch, host="fd00::1")

    assert find_access(OperatorSettings(account_folder=folder)).server == "https://[fd00::1]:443"


def test_with_a_kubeconfig(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a cluster; the namespace can be another one."""
    (folder / "config").write_text(KUBECONFIG)
    monkeypatch.setenv("KUBECONFIG", str(folder / "config"))
    settings = OperatorSettings(account_folder=folder / "none")
    found = find_access(settings)

    assert found.server == "https://10.0.0.1:6443"
    assert find_namespace(settings, found) == "chat"
    other = OperatorSettings(account_folder=folder / "none", namespace="other")
    assert find_namespace(other, find_access(other)) == "other"


@pytest.mark.parametrize("text", [None, "contexts: []", "current-context: nowhere"])
def test_nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str | None) -> None:
    """One line says what is missing."""
    if text is not None:
        (folder / "config").write_text(text)
        monkeypatch.setenv("KUBECONFIG", str(folder / "config"))

    with pytest.raises(CannotStart, match="kubeconfig"):
        find_access(OperatorSettings(account_folder=folder / "none"))
