"""Watchers see what they asked for; a slow one is let go and holds up nobody."""

from __future__ import annotations

import pytest

from libs.trading.scoring import Prediction
from services.model_serving.domain import Arrived
from services.model_serving.handlers.watch import MAX_BEHIND, TooSlow, Watchers
from tests.builders.vectors import a_vector
from tests.unit.services.model_serving.fakes import admitted
from tests.unit.services.model_serving.handlers.test_serving import scoring, served


def said(instrument: str, ordinal: int = 0) -> Prediction:
    vector = a_vector(instrument=instrument, ordinal=ordinal)
    [answer] = scoring(served(admitted(1))).score_all([Arrived(vector)])
    assert isinstance(answer, Prediction)
    return answer


def test_a_watcher_sees_its_instruments_in_order_until_it_leaves() -> None:
    watchers = Watchers()
    btc, eth = said("bybit.linear.BTCUSDT"), said("bybit.linear.ETHUSDT")
    with watchers.join(frozenset({btc.instrument})) as some, watchers.join(frozenset()) as everything:
        watchers.show([btc, eth])
        assert [some.take(0.01), some.take(0.01)] == [btc, None]
        assert [everything.take(0.01), everything.take(0.01)] == [btc, eth]
    watchers.show([btc])
    assert everything.take(0.01) is None


def test_who_falls_behind_is_let_go() -> None:
    watchers = Watchers()
    one = said("bybit.linear.BTCUSDT")
    with watchers.join(frozenset()) as slow:
        watchers.show([one] * MAX_BEHIND)
        assert slow.take(0.01) == one
        watchers.show([one] * 2)
        with pytest.raises(TooSlow, match="behind"):
            slow.take(0.01)
