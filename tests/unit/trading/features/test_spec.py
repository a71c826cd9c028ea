"""Specs, views and their hashes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from libs.trading.features.catalogue import BARS_VIEW, CORE12, DEFAULT_VIEW, VIEWS, full_spec
from libs.trading.features.engine import FeatureEngine
from libs.trading.features.spec import Feature, FeatureSpec, ViewMismatch
from libs.trading.market import NS_PER_SECOND

SPEC = full_spec(NS_PER_SECOND, NS_PER_SECOND // 4)


def test_core12_comes_first_and_in_its_order() -> None:
    names = "close volume returns_1 rsi_14 macd macd_signal atr_14 bb_position ema_20 ema_50 volume_ratio zscore"
    assert SPEC.names[:12] == CORE12 == tuple(names.split())


def test_the_hash_of_a_known_spec_never_changes_unnoticed() -> None:
    tiny = FeatureSpec((Feature("a", 1, "now", ("book",), "bps"),), NS_PER_SECOND, NS_PER_SECOND)
    assert tiny.hash == "360a7288d9cb594be4ad2883963887e7"
    assert tiny.view(["a"]).hash == "3de911dada428d5b783792096736955b"


@pytest.mark.parametrize(
    "changed",
    [
        replace(SPEC, features=SPEC.features[::-1]),
        replace(SPEC, features=SPEC.features[:-1]),
        replace(SPEC, bar_interval=2 * NS_PER_SECOND),
        replace(SPEC, emission_interval=NS_PER_SECOND),
        *(
            replace(SPEC, features=(replace(SPEC.features[0], **change), *SPEC.features[1:]))
            for change in ({"formula_version": 2}, {"window": "2 bars"}, {"unit": "base"}, {"inputs": ("book",)})
        ),
    ],
)
def test_the_hash_covers_everything(changed: FeatureSpec) -> None:
    assert changed.hash != SPEC.hash


@pytest.mark.parametrize("name", VIEWS)
def test_a_projection_gives_the_view_in_its_order(name: str) -> None:
    view = SPEC.view(VIEWS[name])
    assert [SPEC.names[i] for i in SPEC.project(view)] == list(VIEWS[name])


def test_adding_a_feature_orphans_no_view() -> None:
    view = SPEC.view(DEFAULT_VIEW)
    more = replace(SPEC, features=(Feature("new", 1, "now", ("book",), "bps"), *SPEC.features))
    assert more.view(DEFAULT_VIEW).hash == view.hash
    assert np.array_equal(more.project(view), SPEC.project(view) + 1)


def test_a_view_that_does_not_fit_exactly_is_refused_by_name() -> None:
    view = SPEC.view(BARS_VIEW)
    fewer = replace(SPEC, features=tuple(f for f in SPEC.features if f.name != "rsi_14"))
    with pytest.raises(ViewMismatch, match="feature rsi_14 is not in the spec"):
        fewer.project(view)
    newer = replace(
        SPEC, features=tuple(replace(f, formula_version=2) if f.name == "zscore" else f for f in SPEC.features)
    )
    with pytest.raises(ViewMismatch, match="feature zscore version 1, spec has 2"):
        newer.project(view)
    with pytest.raises(ViewMismatch, match="emission interval 250000000 ns, the spec has 1000000000 ns"):
        replace(SPEC, emission_interval=NS_PER_SECOND).project(view)
    with pytest.raises(ViewMismatch, match="no feature close_to_ema_21"):
        SPEC.view(["close_to_ema_21"])
    with pytest.raises(ViewMismatch, match="twice"):
        SPEC.view(["close", "close"])


def test_the_default_view_keeps_its_meaning_when_the_price_moves() -> None:
    assert not set(DEFAULT_VIEW) & {"close", "volume", "macd", "macd_signal", "atr_14", "ema_20", "ema_50"}
    assert {f.inputs for f in SPEC.features if f.name in BARS_VIEW} == {("bars",)}


def test_an_engine_computes_only_what_it_can() -> None:
    unknown = replace(SPEC, features=(replace(SPEC.features[0], formula_version=9),))
    with pytest.raises(ViewMismatch, match="close version 9"):
        FeatureEngine(unknown, "x")


def test_an_engine_of_a_part_of_the_features_gives_that_part() -> None:
    part = replace(SPEC, features=(SPEC.features[20], SPEC.features[3]))
    assert FeatureEngine(part, "x").spec.names == (SPEC.names[20], "rsi_14")
