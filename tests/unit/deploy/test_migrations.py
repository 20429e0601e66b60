"""The Job that makes the database ready, and who waits for it."""

from __future__ import annotations

import pytest

from hubbub.migration.settings import SchemaSettings
from hubbub.settings import variable_name
from tests.unit.deploy.chart import CHART, Installation, Manifest, from_values, needs_helm, rendered
from tests.unit.deploy.test_pods import environment_of

AT_START = variable_name(SchemaSettings, "at_start")


def _jobs(manifests: list[Manifest] | tuple[Manifest, ...]) -> list[Manifest]:
    return [one for one in manifests if one["kind"] == "Job"]


def test_services_wait_where_there_is_a_job_and_nowhere_else(installation: Installation) -> None:
    """Waiting for what nobody does would last for ever."""
    names = {True: set[str](), False: set[str]()}
    for service in installation.services():
        template = service["spec"]["template"]
        component = template["metadata"]["labels"]["app.kubernetes.io/component"]
        environment = environment_of(template["spec"]["containers"][0])
        waits = environment.get(AT_START) == "wait"
        names[waits].add(component)
        assert waits is False or _knows_the_database(template)
    if _jobs(installation.manifests):
        assert {"account", "messaging", "stream-hub", "gateway"} <= names[True]
        assert names[False] <= {"streamer", "operator"}
    else:
        assert not names[True]


def _knows_the_database(template: Manifest) -> bool:
    return "HUBBUB_MONGO_URL" in environment_of(template["spec"]["containers"][0]) or any(
        item["path"] == "hubbub_mongo_url"
        for volume in template["spec"]["volumes"]
        if volume["name"] == "secrets"
        for source in volume["projected"]["sources"]
        for item in source["secret"]["items"]
    )


@needs_helm
def test_a_database_of_ones_own_has_the_job() -> None:
    """The one that the release brings to try it does without."""
    assert _jobs(from_values(CHART / "ci" / "external-values.yaml").manifests)
    assert not _jobs(from_values(CHART / "ci" / "default-values.yaml").manifests)
    assert _jobs(rendered("--set", "migrations.enabled=true"))
    uri = "mongodb.uri=mongodb://db/hubbub"
    assert not _jobs(rendered("--set", f"{uri},migrations.enabled=false"))


@needs_helm
def test_the_job_is_an_object_of_the_release() -> None:
    """Hooks stay when the release goes, and one after an installation that waits for its pods
    would never run."""
    [job] = _jobs(from_values(CHART / "ci" / "external-values.yaml").manifests)

    assert not any("helm.sh/hook" in key for key in job["metadata"].get("annotations", ()))
    assert "ttlSecondsAfterFinished" not in job["spec"]
    [container] = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["migrate", "expand"]
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


@needs_helm
def test_the_job_knows_the_database_and_no_other_secret() -> None:
    [job] = _jobs(from_values(CHART / "ci" / "external-values.yaml").manifests)
    spec = job["spec"]["template"]["spec"]

    [secrets] = [volume for volume in spec["volumes"] if volume["name"] == "secrets"]
    files = [
        item["path"]
        for source in secrets["projected"]["sources"]
        for item in source["secret"]["items"]
    ]
    assert files == ["hubbub_mongo_url"]
    assert environment_of(spec["containers"][0])["HUBBUB_SECRETS_DIR"] == "/etc/hubbub/secrets"


@needs_helm
@pytest.mark.parametrize(
    ("changes", "another"),
    [
        ("image.tag=0.2.0", True),
        ("messaging.env.HUBBUB_MESSAGING_TRASH_DAYS=30", True),
        ("mongodb.uri=mongodb://db/other", True),
        ("messaging.replicas=5", False),
        ("log.level=debug", False),
    ],
)
def test_what_it_runs_is_in_its_name(changes: str, another: bool) -> None:
    """A Job cannot be changed: another one takes its place, and an upgrade that changes nothing
    of it leaves it."""
    usual = "mongodb.uri=mongodb://db/hubbub"
    [one] = _jobs(rendered("--set", usual))
    [two] = _jobs(rendered("--set", usual, "--set", changes))

    assert (one["metadata"]["name"] != two["metadata"]["name"]) is another
    assert (one["spec"] != two["spec"]) is another


@needs_helm
def test_it_is_told_how_long_deleted_messages_are_kept() -> None:
    changes = "migrations.enabled=true,messaging.env.HUBBUB_MESSAGING_TRASH_DAYS=30"
    [job] = _jobs(rendered("--set", changes))

    environment = environment_of(job["spec"]["template"]["spec"]["containers"][0])
    assert environment["HUBBUB_MESSAGING_TRASH_DAYS"] == "30"
    assert environment["HUBBUB_MONGO_URL"].startswith("mongodb://hubbub-mongodb:27017/")
