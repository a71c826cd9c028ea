"""The reader of PromQL finds metrics, and does not take anything for an expression."""

from __future__ import annotations

import pytest

from tests.chart.promql import Malformed, Selector, grouped_by, selectors


def test_metrics_and_labels_are_found() -> None:
    text = 'histogram_quantile(0.99, sum by (le) (rate(a_bucket{x="1",y!="2"}[5m]))) > 0.5 or absent(b)'
    assert selectors(text) == [Selector("a_bucket", frozenset({"x", "y"}), True), Selector("b", frozenset(), False)]
    assert grouped_by(text) == {"le"}


@pytest.mark.parametrize(
    "text",
    ["sum(rate(a[5m])", "sum(rate(a))", "a{x=~}[5m]", "rte(a[5m])", "a)", "a[5m]", "a ? b", "rate(a[5 minutes])"],
)
def test_what_is_no_promql_is_refused(text: str) -> None:
    with pytest.raises(Malformed):
        selectors(text)
