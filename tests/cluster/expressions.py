"""The expressions of dashboards and alerts, ready to be asked. Pure, but for reading the files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from tests.cluster.target import ROOT

FILES = ROOT / "deploy" / "helm" / "hubbub" / "files"
RANGE = "1m"
"""What stands for Grafana's own intervals."""

_VARIABLE = r"(?:\$\{([A-Za-z_]\w*)(?::\w+)?\}|\$([A-Za-z_]\w*)|\[\[([A-Za-z_]\w*)\]\])"
_EQUAL_TO_VARIABLE = re.compile(r'=~?\s*"' + _VARIABLE + '"')
_SELECTOR = re.compile(r"\b([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?")
_OURS = re.compile(r"^(?:hubbub|process|python|nats|gnatsd|mongodb|up)")


@dataclass(frozen=True, slots=True)
class Expression:
    """One query of PromQL."""

    place: str
    """Where it stands, for people."""
    text: str
    is_alert: bool


def all_expressions(namespace: str) -> list[Expression]:
    """Every panel's and every alert's, for one namespace."""
    return [*_of_dashboards(namespace), *_of_alerts()]


def _of_dashboards(namespace: str) -> Iterator[Expression]:
    for file in sorted((FILES / "dashboards").glob("*.json")):
        dashboard = json.loads(file.read_text())
        chosen = {"namespace": namespace, **_defaults(dashboard)}
        for panel in _panels(dashboard):
            targets = [target for target in panel.get("targets", []) if target.get("expr")]
            for target in targets:
                place = f"{file.stem}: {panel['title']}"
                if len(targets) > 1:
                    place += f" [{target.get('refId', '?')}]"
                yield Expression(place, filled_in(target["expr"], chosen), is_alert=False)


def _panels(part: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for panel in part.get("panels", []):
        yield panel
        yield from _panels(panel)


def _of_alerts() -> Iterator[Expression]:
    """What rules record stands in the place of its name: nobody records anything here."""
    rules = [
        rule
        for file in sorted((FILES / "alerts").glob("*.yaml"))
        for group in yaml.safe_load(file.read_text())["groups"]
        for rule in group["rules"]
    ]
    recorded = {rule["record"]: str(rule["expr"]).strip() for rule in rules if "record" in rule}
    for rule in rules:
        text = str(rule["expr"]).strip()
        for name, expression in recorded.items():
            text = re.sub(rf"(?<![\w:]){re.escape(name)}(?![\w:])", f"({expression})", text)
        is_alert = "alert" in rule
        place = f"alert {rule['alert']}" if is_alert else f"recorded {rule['record']}"
        yield Expression(place, text, is_alert)


def _defaults(dashboard: Mapping[str, Any]) -> dict[str, str]:
    """Variables that are typed in, as they stand at first."""
    return {
        variable["name"]: str(variable["query"])
        for variable in dashboard.get("templating", {}).get("list", [])
        if variable["type"] in ("constant", "textbox")
    }


def filled_in(text: str, chosen: Mapping[str, str]) -> str:
    """Grafana's variables replaced: by what is chosen, by everything, by a minute."""

    def condition(found: re.Match[str]) -> str:
        name = next(filter(None, found.groups()))
        return f'="{chosen[name]}"' if name in chosen else '=~".*"'

    def value(found: re.Match[str]) -> str:
        name = next(filter(None, found.groups()))
        return chosen.get(name) or (RANGE if name.startswith("__") else ".*")

    return re.sub(_VARIABLE, value, _EQUAL_TO_VARIABLE.sub(condition, text))


def selectors(text: str) -> list[str]:
    """The series that an expression looks at, each as a query of its own."""
    without_labels = re.sub(
        r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", text
    )
    found = {
        name + (labels or "")
        for name, labels in _SELECTOR.findall(_without_inner_names(without_labels))
        if _OURS.match(name)
    }
    return sorted(found)


def _without_inner_names(text: str) -> str:
    """Names of labels begin no selector; they stand within braces, which stay with theirs."""
    return re.sub(r"\[[^\]]*\]", " ", text)
