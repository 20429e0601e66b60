"""What a package has to keep to where an app is declared, and whose it is."""

from __future__ import annotations

from typing import Any

import pytest

from hubbub.apps.manifest import Manifest
from hubbub.contracts.apps import InvalidPackage
from hubbub.contracts.provisioning import AppOfAnother, AppTerms, HostsNotAllowed
from services.apps_engine.provisioning import belongs_to, difference, keeps_to, read

HOSTS = ["api.example.org:443", "b.example.org:443"]
MANIFEST = Manifest.model_validate(
    {
        "id": "echo",
        "name": "Echo",
        "version": "1.2.3",
        "permissions": ["network"],
        "hosts": HOSTS,
        "settings": {
            "limit": {"type": "number"},
            "loud": {"type": "boolean"},
            "key": {"type": "secret"},
        },
    }
)


def terms(**changes: Any) -> AppTerms:
    """Terms that the manifest keeps to."""
    return AppTerms.model_validate({"owner": "o", "app_id": "echo", "hosts": HOSTS, **changes})


def test_a_package_keeps_to_its_terms() -> None:
    keeps_to(terms(), MANIFEST)
    keeps_to(terms(version="1.2.3", hosts=[*HOSTS, "more:1"]), MANIFEST)
    with pytest.raises(InvalidPackage, match="of the app echo, not other"):
        keeps_to(terms(app_id="other"), MANIFEST)
    with pytest.raises(InvalidPackage, match=r"of version 1\.2\.3, not 2\.0\.0"):
        keeps_to(terms(version="2.0.0"), MANIFEST)
    with pytest.raises(HostsNotAllowed, match=r"also sends to: b\.example\.org:443") as caught:
        keeps_to(terms(hosts=HOSTS[:1]), MANIFEST)
    assert caught.value.details == {"hosts": HOSTS[1:]}


def test_whose_an_app_is() -> None:
    belongs_to("o", {"owner": "o"})
    for stored in ({}, {"owner": ""}):
        with pytest.raises(AppOfAnother, match="the administrators"):
            belongs_to("o", stored)
    with pytest.raises(AppOfAnother, match="chat/other"):
        belongs_to("o", {"owner": "chat/other"})


@pytest.mark.parametrize(
    ("stored", "wanted", "changes"),
    [
        ({}, {}, {}),
        ({"a": 1, "b": "x"}, {"a": 1, "b": "x"}, {}),
        ({"a": 1}, {"a": 2, "b": "x"}, {"a": 2, "b": "x"}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({}, {"a": None}, {}),
        ({"a": 1}, {"a": True}, {"a": True}),
        ({"a": 1}, {"a": 1.0}, {}),
    ],
)
def test_only_differences_are_changed(
    stored: dict[str, Any], wanted: dict[str, Any], changes: dict[str, Any]
) -> None:
    """True is not 1, whatever Python thinks."""
    assert difference(stored, wanted) == changes


def test_a_secret_may_hold_numbers_and_flags() -> None:
    """As texts; what does not fit stays as it is, and is refused by who checks settings."""
    assert read(MANIFEST, {"limit": "20", "loud": "true", "key": "20", "more": "1"}) == {
        "limit": 20,
        "loud": True,
        "key": "20",
        "more": "1",
    }
    wrong = {"limit": "true", "loud": "1", "key": "x"}
    assert read(MANIFEST, wrong) == wrong
    assert read(MANIFEST, {"limit": "NaN"}) == {"limit": "NaN"}
    assert read(MANIFEST, {"limit": 2.5, "loud": False}) == {"limit": 2.5, "loud": False}
