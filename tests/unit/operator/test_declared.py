"""Declared apps as API servers write them, and the CRD that says what may be written."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from hubbub.apps.manifest import Manifest
from hubbub.contracts.apps import AppStatus as EngineStatus
from services.operator import engine
from services.operator.declared import (
    APPS,
    AppSpec,
    AppStatus,
    Contents,
    Holder,
    HubbubApp,
    NoPackage,
    SecretRef,
    Source,
    package_of,
    settings_of,
)
from services.operator.domain.apps import Phase
from services.operator.resources import GROUP, VERSION, ConditionPart, Part

CRD = yaml.safe_load(
    (Path(__file__).parents[3] / "deploy" / "crds" / "hubbubapps.yaml").read_text()
)
[KIND] = CRD["spec"]["versions"]
SCHEMA = KIND["schema"]["openAPIV3Schema"]
SPEC = SCHEMA["properties"]["spec"]
STATUS = SCHEMA["properties"]["status"]


def fields(model: type[Part]) -> set[str]:
    """Names of a model's fields as they are written."""
    return {info.alias or name for name, info in model.model_fields.items()}


def test_the_crd_is_of_the_kind_that_is_watched() -> None:
    assert CRD["metadata"]["name"] == f"{APPS}.{GROUP}"
    assert (CRD["spec"]["group"], KIND["name"]) == (GROUP, VERSION)
    assert CRD["spec"]["names"]["kind"] == HubbubApp.__name__
    assert CRD["spec"]["names"]["shortNames"] == ["happ"]
    columns = [column["name"] for column in KIND["additionalPrinterColumns"]]
    assert columns == ["Version", "Enabled", "Phase", "Message", "Age"]
    for column in KIND["additionalPrinterColumns"]:
        top, name = column["jsonPath"].split(".")[1:]
        if top != "metadata":
            assert name in SCHEMA["properties"][top]["properties"], column


def test_the_schema_has_what_the_operator_reads_and_writes() -> None:
    """No field of the status is there that nobody writes."""
    spec, status = SPEC["properties"], STATUS["properties"]

    assert fields(AppSpec) == set(spec)
    assert fields(Source) == set(spec["source"]["properties"])
    for kind in spec["source"]["properties"].values():
        assert fields(Holder) == set(kind["properties"])
    assert fields(SecretRef) == set(spec["settingsSecretRef"]["properties"])
    assert fields(AppStatus) == set(status)
    assert fields(ConditionPart) == set(status["conditions"]["items"]["properties"])
    assert set(Phase.__args__) == set(status["phase"]["enum"])  # type: ignore[attr-defined]


def test_what_cannot_be_changed_and_what_excludes_each_other() -> None:
    """The rules are tried on a real API server by the tests on a cluster."""
    [immutable] = SPEC["properties"]["appId"]["x-kubernetes-validations"]
    [one_source] = SPEC["properties"]["source"]["x-kubernetes-validations"]

    assert immutable["rule"] == "self == oldSelf"
    assert one_source["rule"] == "has(self.configMap) != has(self.secret)"
    assert {"appId", "source"} == set(SPEC["required"])


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("appId", ["echo", "a-b"], ["Echo", "a", "-ab", "ab-", "a" * 41]),
        ("version", ["1.0.0", "10.20.30"], ["1.0", "v1.0.0", "01.0.0"]),
    ],
)
def test_names_are_those_of_manifests(name: str, good: list[str], bad: list[str]) -> None:
    """What an object may say, a manifest may say too."""
    checker = Draft202012Validator(SPEC["properties"][name])
    for text in good:
        checker.validate(text)
        field = "id" if name == "appId" else name
        Manifest.model_validate({"id": "echo", "name": "E", "version": "1.0.0", field: text})
    for text in bad:
        with pytest.raises(ValidationError):
            checker.validate(text)


def test_an_object_from_the_api_server() -> None:
    """What is not said has the defaults of the CRD, what is unknown is ignored."""
    app = HubbubApp.model_validate(
        {
            "metadata": {
                "name": "echo",
                "namespace": "chat",
                "finalizers": ["a/b"],
                "deletionTimestamp": "2026-01-01T12:00:00Z",
                "labels": {},
            },
            "spec": {"appId": "echo", "source": {"secret": {"name": "s", "key": "k"}}},
        }
    )

    assert app.owner == "chat/echo"
    assert app.spec.enabled is SPEC["properties"]["enabled"]["default"] is True
    assert app.spec.source.secret == Holder(name="s", key="k")
    assert app.metadata.deletion_timestamp is not None
    assert app.status.written() == {"conditions": []}


def contents(**parts: Any) -> Contents:
    """A ConfigMap or Secret."""
    return Contents.model_validate({"metadata": {"name": "c", "resourceVersion": "7"}, **parts})


def test_packages_are_found_under_their_key() -> None:
    """As binary data, or as base64 with line breaks."""
    data = bytes(range(256))
    text = base64.encodebytes(data).decode()

    for holder in (contents(binaryData={"k": text}), contents(data={"k": text})):
        package = package_of(holder, "k")
        assert (package.data, package.revision) == (data, "7")
        assert package.digest == hashlib.sha256(data).hexdigest()
    with pytest.raises(NoPackage, match="c has no key k"):
        package_of(contents(), "k")
    with pytest.raises(NoPackage, match="k of c is not base64"):
        package_of(contents(data={"k": "PK\u0003 no"}), "k")


def test_settings_of_a_secret_are_texts() -> None:
    assert settings_of(contents(data={"key": "w7w="})) == {"key": "ü"}
    with pytest.raises(NoPackage, match="key of c is not text"):
        settings_of(contents(data={"key": "/w=="}))
    assert "w7w=" not in repr(contents(data={"key": "w7w="}))


def test_every_state_of_the_engine_is_known() -> None:
    assert set(engine._STATES) == set(EngineStatus)
