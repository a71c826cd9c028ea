"""Account events survive the wire, and decimals stay plain and exact."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.decisions import (
    AccountEvent,
    Decision,
    DecisionKind,
    Fact,
    ReconciliationDifference,
    TradingStateChanged,
)
from libs.trading.market import Provenance
from libs.trading.orders import OrderState, Origin
from libs.trading.portfolio import Position
from libs.trading.risk import RuleResult, TradingState
from libs.trading.scoring import Scope
from libs.wire.orders import decimal_text, decode_event, encode_event, position_message
from tests.builders.orders import INSTRUMENT, START, a_fill, an_order

DECISION = Decision(
    decision_key="k1",
    prediction_id="p1",
    vector_id="v1",
    bundle_digest="d1",
    model_version=3,
    instrument=INSTRUMENT,
    session="s1",
    as_of=START,
    strategy="",
    kind=DecisionKind.DENIED,
    origin=Origin.EXPLORATION,
    score=-0.25,
    threshold=0.2,
    propensity=0.5,
    denied=("SPREAD", "12 bps"),
    rules=(RuleResult("spread", False, "12 bps"),),
    decided_time=START + 1,
    prediction_partition=0,
    prediction_offset=7,
    features_offset=6,
    provenance=Provenance.RECORDED,
    evidence=Scope.NONE,
)
FILLED = an_order(
    state=OrderState.FILLED,
    venue_order_id="v1",
    filled_quantity=Decimal("0.02"),
    filled_notional=Decimal("1000"),
    venue_filled=Decimal("0.02"),
    fees_quote=Decimal("0.55"),
    provenance=Provenance.SIMULATED,
    strategy="",
)


@pytest.mark.parametrize(
    "fact",
    [
        DECISION,
        replace(DECISION, threshold=None, propensity=None, denied=None, rules=()),
        FILLED,
        replace(FILLED, provenance=None, session=""),
        a_fill(),
        TradingStateChanged(TradingState.ACTIVE, TradingState.HALTED, "someone", "why"),
        ReconciliationDifference("position", "1 against 2", "halt"),
    ],
)
def test_every_fact_survives(fact: Fact) -> None:
    event = AccountEvent(12, "paper", START, fact)
    assert decode_event(encode_event(event)) == event


def test_an_event_that_says_nothing_is_an_error() -> None:
    with pytest.raises(ValueError, match="says nothing"):
        decode_event(b"")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**12), max_value=10**12))
def test_decimals_are_plain_and_exact(value: Decimal) -> None:
    text = decimal_text(value)
    assert Decimal(text) == value
    assert "E" not in text.upper()


def test_decimals_have_no_ornaments() -> None:
    assert [decimal_text(Decimal(text)) for text in ("1E+3", "0.500", "100", "0E-8")] == ["1000", "0.5", "100", "0"]


def test_a_flat_position_has_no_average_and_no_invented_mark() -> None:
    message = position_message("paper", Position(INSTRUMENT), None)
    assert (message.quantity, message.average_price, message.unrealised_pnl_quote) == ("0", "", "")
