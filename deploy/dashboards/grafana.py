"""Grafana's JSON from short descriptions.

In expressions `@` stands for the chosen namespaces and releases:

    Query("sum by (kind) (rate(hubbub_http_bad_input_total{@}[$__rate_interval]))", "{{kind}}")

Nothing in the JSON is an id of one Grafana: the data source is a variable, dashboards have
names of their own, panels are numbered from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

SCHEMA: Final = 42
_COLUMNS: Final = 24
_CHOSEN: Final = 'namespace=~"$namespace",app_kubernetes_io_instance=~"$release"'
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_TAG: Final = "hubbub"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Query:
    """One expression, and what its series are called."""

    expression: str
    legend: str = "__auto"

    def target(self, index: int, **more: Any) -> Json:
        """As a panel has it."""
        return {
            "refId": chr(ord("A") + index),
            "datasource": _SOURCE,
            "editorMode": "code",
            "expr": chosen(self.expression),
            "legendFormat": self.legend,
            "range": True,
            "instant": False,
            **more,
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel, without its place."""

    title: str
    kind: str
    queries: Sequence[Query]
    about: str
    width: int
    height: int
    defaults: Json
    options: Json
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()
    of_targets: Json = field(default_factory=dict)

    def json(self, number: int, x: int, y: int) -> Json:
        """As a dashboard has it."""
        made: Json = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": _SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": self.defaults, "overrides": list(self.overrides)},
            "options": self.options,
            "targets": [
                query.target(index, **self.of_targets) for index, query in enumerate(self.queries)
            ],
        }
        if self.transformations:
            made["transformations"] = list(self.transformations)
        return made


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Mark:
    """A kind of event that is marked in all graphs of a dashboard."""

    name: str
    expression: str
    text: str
    colour: str


@dataclass(frozen=True, slots=True)
class Number:
    """A variable that whoever looks at the dashboard may change."""

    name: str
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One file."""

    name: str
    title: str
    about: str
    rows: Sequence[Row]
    marks: Sequence[Mark] = ()
    numbers: Sequence[Number] = ()

    def json(self) -> Json:
        """As Grafana reads it."""
        return {
            "uid": f"hubbub-{self.name}",
            "title": f"Hubbub / {self.title}",
            "description": self.about,
            "tags": [_TAG],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": True,
            "graphTooltip": 1,
            "timezone": "browser",
            "time": {"from": "now-1h", "to": "now"},
            "refresh": "30s",
            "links": [
                {"type": "dashboards", "title": "Hubbub", "tags": [_TAG], "asDropdown": True}
                | {"keepTime": True, "includeVars": True}
            ],
            "annotations": {"list": [_annotation(mark) for mark in self.marks]},
            "templating": {"list": [*_variables(), *map(_textbox, self.numbers)]},
            "panels": self._panels(),
        }

    def _panels(self) -> list[Json]:
        made: list[Json] = []
        y = 0
        for row in self.rows:
            place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
            made.append(
                {"id": len(made) + 1, "type": "row", "title": row.title, "gridPos": place}
                | {"collapsed": False, "panels": []}
            )
            y += 1
            x = tallest = 0
            for panel in row.panels:
                if x + panel.width > _COLUMNS:
                    x, y, tallest = 0, y + tallest, 0
                made.append(panel.json(len(made) + 1, x, y))
                x += panel.width
                tallest = max(tallest, panel.height)
            y += tallest
        return made


def chosen(expression: str) -> str:
    """The expression for the chosen namespaces and releases."""
    return " ".join(expression.split()).replace("@", _CHOSEN)


def graph(
    title: str,
    *queries: Query,
    unit: str = "short",
    stacked: bool = False,
    lines: Sequence[str] = (),
    width: int = 8,
    about: str = "",
) -> Panel:
    """Lines over time.

    Args:
        lines: legends of what is compared with: dashed, and never stacked.
    """
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
    }
    overrides = [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [
                {"id": "custom.stacking", "value": {"mode": "none", "group": "B"}},
                {"id": "custom.fillOpacity", "value": 0},
                {"id": "custom.lineStyle", "value": {"fill": "dash", "dash": [8, 8]}},
            ],
        }
        for name in lines
    ]
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    defaults = {"unit": unit, "min": 0, "custom": custom}
    return Panel(title, "timeseries", queries, about, width, 8, defaults, options, overrides)


def stat(
    title: str,
    query: str,
    *,
    unit: str = "short",
    warn: float | None = None,
    bad: float | None = None,
    less_is_worse: bool = False,
    decimals: int | None = None,
    width: int = 3,
    about: str = "",
) -> Panel:
    """One number, with its past behind it.

    Args:
        warn, bad: from where on it is orange and red; with `less_is_worse`, down to where.
    """
    steps: list[Json] = [{"color": "text" if bad is None else "green", "value": None}]
    if bad is not None and warn is not None:
        if less_is_worse:
            levels = [(None, "red"), (bad, "orange"), (warn, "green")]
            steps = [{"color": colour, "value": value} for value, colour in levels]
        else:
            steps += [{"color": "orange", "value": warn}, {"color": "red", "value": bad}]
    defaults: Json = {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}}
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area",
        "justifyMode": "auto",
        "textMode": "auto",
    }
    return Panel(title, "stat", [Query(query)], about, width, 5, defaults, options)


def heatmap(title: str, query: str, *, unit: str, width: int = 8, about: str = "") -> Panel:
    """The buckets of a histogram over time; `query` gives one series per `le`."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "unit": unit},
    }
    targets = {"format": "heatmap"}
    queries = [Query(query, "{{le}}")]
    return Panel(title, "heatmap", queries, about, width, 8, {}, options, of_targets=targets)


def strip(title: str, query: Query, texts: dict[str, tuple[str, str]], *, about: str = "") -> Panel:
    """Which state each series was in.

    Args:
        texts: value → (text, colour).
    """
    mapping = {
        value: {"text": text, "color": colour, "index": index}
        for index, (value, (text, colour)) in enumerate(texts.items())
    }
    defaults = {
        "mappings": [{"type": "value", "options": mapping}],
        "custom": {"fillOpacity": 70, "lineWidth": 0},
    }
    options = {
        "mergeValues": True,
        "showValue": "never",
        "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return Panel(title, "state-timeline", [query], about, 12, 8, defaults, options)


def table(
    title: str, join: str, columns: Sequence[tuple[str, str, str]], *, about: str = ""
) -> Panel:
    """The present, one line per value of the label `join`.

    Args:
        columns: (expression, what to call its value or "" to hide it, unit). Other labels of an
            expression are columns, too.
    """
    hidden = {f"Time {number}": True for number in range(1, len(columns) + 1)}
    names: dict[str, str] = {"app_kubernetes_io_component": "component"}
    overrides: list[Json] = []
    for index, (_, name, unit) in enumerate(columns):
        value = f"Value #{chr(ord('A') + index)}"
        if not name:
            hidden[value] = True
            continue
        names[value] = name
        overrides.append(
            {
                "matcher": {"id": "byName", "options": name},
                "properties": [{"id": "unit", "value": unit}],
            }
        )
    transformations: list[Json] = [
        {"id": "joinByField", "options": {"byField": join, "mode": "outer"}},
        {"id": "organize", "options": {"excludeByName": hidden, "renameByName": names}},
    ]
    return Panel(
        title,
        "table",
        [Query(expression, "") for expression, _, _ in columns],
        about,
        _COLUMNS,
        10,
        {"custom": {"align": "auto", "filterable": True}},
        {"showHeader": True, "cellHeight": "sm"},
        overrides,
        transformations,
        {"format": "table", "instant": True, "range": False},
    )


def _annotation(mark: Mark) -> Json:
    return {
        "name": mark.name,
        "enable": True,
        "hide": False,
        "iconColor": mark.colour,
        "datasource": _SOURCE,
        "target": {"refId": "Anno", "expr": chosen(mark.expression), "interval": "30s"},
        "titleFormat": mark.name,
        "textFormat": mark.text,
        "useValueForTime": False,
    }


def _variables() -> list[Json]:
    return [
        {
            "name": "datasource",
            "label": "Data source",
            "type": "datasource",
            "query": "prometheus",
            "refresh": 1,
            "hide": 0,
            "current": {},
            "options": [],
        },
        _of_labels("namespace", "Namespace", "label_values(hubbub_build_info, namespace)"),
        _of_labels(
            "release",
            "Release",
            'label_values(hubbub_build_info{namespace=~"$namespace"}, app_kubernetes_io_instance)',
        ),
    ]


def _of_labels(name: str, label: str, query: str) -> Json:
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": _SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "includeAll": True,
        # A release without the label that names it is chosen with all of them.
        "allValue": ".*",
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "options": [],
    }


def _textbox(number: Number) -> Json:
    value = {"text": number.value, "value": number.value}
    return {
        "name": number.name,
        "label": number.label,
        "type": "textbox",
        "query": number.value,
        "current": value,
        "options": [value | {"selected": True}],
    }
