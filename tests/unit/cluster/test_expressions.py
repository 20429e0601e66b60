"""Expressions of dashboards, ready to be asked outside of Grafana."""

from __future__ import annotations

from tests.cluster.expressions import all_expressions, filled_in, selectors


def test_variables_are_replaced() -> None:
    text = (
        'sum(rate(a_total{namespace=~"$namespace",pod=~"${pod:regex}"}[$__rate_interval])) * $price'
    )
    assert filled_in(text, {"namespace": "chat", "price": "25"}) == (
        'sum(rate(a_total{namespace="chat",pod=~".*"}[1m])) * 25'
    )


def test_selectors_are_the_series_that_are_looked_at() -> None:
    text = (
        'sum by (pod) (rate(hubbub_a_total{x="y"}[5m])) / on (pod) '
        "group_left (hubbub_no) up and hubbub_b > 1"
    )
    assert selectors(text) == ['hubbub_a_total{x="y"}', "hubbub_b", "up"]


def test_nothing_of_grafana_or_of_our_rules_is_left() -> None:
    expressions = all_expressions("chat")
    assert {one.is_alert for one in expressions} == {True, False}
    for one in expressions:
        assert "$" not in one.text.replace("$1", ""), one  # of label_replace
        assert "hubbub:" not in one.text, one
        assert selectors(one.text), one
