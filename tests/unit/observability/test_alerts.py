"""The alerts are rules that Prometheus understands, about metrics that exist, and fire when they
should."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from services.stream_hub import tail
from tests.unit.observability.cases import CASES
from tests.unit.observability.known import faults
from tests.unit.observability.rules import (
    FILES,
    PROMTOOL,
    RUNBOOKS,
    Rule,
    alerts,
    needs_promtool,
    recorded,
    rules,
)
from tests.unit.observability.stories import as_promtool

EXPECTED = """
    HubbubDeliverySlow HubbubDeliveryBurn HubbubGaps HubbubNoHubLeader HubbubTwoHubLeaders
    HubbubHubLag HubbubOplogShort HubbubCheckpointStale HubbubHistoryLost HubbubStreamerNearLimit
    HubbubStreamerImbalance HubbubReconnectStorm HubbubSlowClients HubbubLoopLag HubbubRpcErrors
    HubbubCircuitOpen HubbubNatsDisconnected HubbubNatsSlowConsumer HubbubMongoPoolStarved
    HubbubDrainForced HubbubVersionSkew HubbubOperatorStuck HubbubMetricsAbsent
    HubbubEventLogStuck HubbubHubUnsettled HubbubPoisonChange HubbubResync
""".split()
_ALERTS = {file: {rule["alert"] for rule in rules(file) if "alert" in rule} for file in FILES}
_RUNS = sorted(
    {(file, case.step) for file in FILES for case in CASES if case.alert in _ALERTS[file]}
)
_NAMES = [f"{rule['alert']}-{rule['labels']['severity']}" for rule in alerts()]
_HEADINGS = ["Meaning", "Impact", "Check", "Fix", "Escalate"]
_TEMPLATE_FUNCTIONS = {"humanize", "humanizeDuration", "humanizePercentage"}


def test_the_alerts_are_all_there() -> None:
    assert {rule["alert"] for rule in alerts()} == set(EXPECTED)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_expressions_ask_for_what_the_code_has(rule: Rule) -> None:
    assert not faults(rule["expr"], recorded())


def test_the_hub_counts_lost_histories_under_the_name_that_is_asked_for() -> None:
    """The values of this label are written where they are used."""
    source = Path(tail.__file__).read_text()

    assert '"lost"' in source
    assert "resumes.labels(outcome)" in source


@pytest.mark.parametrize("rule", alerts(), ids=_NAMES)
def test_alerts_say_what_they_mean(rule: Rule) -> None:
    notes = rule["annotations"]

    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert set(notes) == {"summary", "description", "runbook_url"}
    assert len(notes["summary"]) <= 100
    assert notes["description"].endswith(".")
    assert notes["runbook_url"] == f"docs/runbooks/{rule['alert']}.md"


@pytest.mark.parametrize("rule", alerts(), ids=_NAMES)
def test_texts_use_labels_that_the_alert_has(rule: Rule) -> None:
    """Of those, the cases say which it fires with."""
    fired = [
        {"namespace", "app_kubernetes_io_instance", *labels}
        for case in CASES
        if case.alert == rule["alert"]
        for labels in case.fires
    ]
    for text in rule["annotations"].values():
        # `{{ with }}` and `{{ if }}` ask first.
        plain = re.sub(r"\{\{ (?:with|if) [^}]*\}\}", "", text)

        assert set(re.findall(r"\$labels\.(\w+)", plain)) <= set.union(*fired)
        assert set(re.findall(r"\| (\w+)", plain)) <= _TEMPLATE_FUNCTIONS


@pytest.mark.parametrize("name", EXPECTED)
def test_runbooks(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()

    assert text.startswith(f"# {name}\n")
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == _HEADINGS


def test_there_is_no_runbook_without_its_alert() -> None:
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == {*EXPECTED, "README"}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_alert_has_a_story_with_it_and_one_without(name: str) -> None:
    stories = [case for case in CASES if case.alert == name]

    assert any(case.fires for case in stories)
    assert any(not case.fires for case in stories)


@needs_promtool
def test_prometheus_takes_the_files() -> None:
    _promtool("check", "rules", "--lint=all", "--lint-fatal", *(str(file) for file in FILES))


@needs_promtool
@pytest.mark.parametrize(
    ("file", "step"), _RUNS, ids=[f"{file.stem}-{step}" for file, step in _RUNS]
)
def test_alerts_fire_when_they_should(file: Path, step: str, tmp_path: Path) -> None:
    """All stories of a file in one run; promtool names those that went another way."""
    cases = [case for case in CASES if case.step == step and case.alert in _ALERTS[file]]
    stories = tmp_path / "stories.yaml"
    content = {
        "rule_files": [str(file)],
        "evaluation_interval": step,
        "tests": [as_promtool(case) for case in cases],
    }
    stories.write_text(yaml.safe_dump(content, width=1_000))

    _promtool("test", "rules", str(stories))


def _promtool(*arguments: str) -> None:
    assert PROMTOOL
    done = subprocess.run(
        [PROMTOOL, *arguments], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
