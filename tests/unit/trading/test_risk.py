"""Every risk rule blocks, and every risk rule releases."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.market import Provenance, Side
from libs.trading.orders import Origin
from libs.trading.risk import (
    RULES as ALL_RULES,
)
from libs.trading.risk import (
    Approved,
    Case,
    Denied,
    Exposure,
    ModelStanding,
    Proposal,
    RiskLimits,
    Signal,
    TradingState,
    assess,
    drawdown_of,
)
from libs.trading.scoring import LabelKind, Scope
from tests.builders.orders import INSTRUMENT, RULES, START, TRUSTED, a_quote

D = Decimal
MS = 1_000_000
Change = Callable[[Case], Case]

GOOD = Case(
    proposal=Proposal(INSTRUMENT, Side.BUY, D("0.020"), D("50000.5"), False, Origin.MODEL),
    exposure=Exposure(
        state=TradingState.ACTIVE,
        scope=Scope.SIMULATED,
        position=D(0),
        pending=D(0),
        in_flight=0,
        open_orders=0,
        sent_last_second=0,
        sent_last_minute=0,
        other_notional=D(0),
        equity=D(10_000),
        peak_equity=D(10_000),
        day_equity=D(10_000),
    ),
    limits=RiskLimits(),
    instrument=RULES,
    quote=a_quote(50_000.0),
    signal=Signal(10 * MS, MS, LabelKind.DIRECTION, TRUSTED, Provenance.SIMULATED, exploring=False),
    now=START,
)


def proposal(**parts: object) -> Change:
    return lambda case: replace(case, proposal=replace(case.proposal, **parts))  # type: ignore[arg-type]


def exposure(**parts: object) -> Change:
    return lambda case: replace(case, exposure=replace(case.exposure, **parts))  # type: ignore[arg-type]


def signal(**parts: object) -> Change:
    def change(case: Case) -> Case:
        assert case.signal is not None
        return replace(case, signal=replace(case.signal, **parts))  # type: ignore[arg-type]

    return change


def standing(**parts: object) -> Change:
    return signal(standing=replace(TRUSTED, **parts))  # type: ignore[arg-type]


def quote(spread: float) -> Change:
    return lambda case: replace(case, quote=a_quote(50_000.0, spread))


def both(*changes: Change) -> Change:
    def change(case: Case) -> Case:
        for one in changes:
            case = one(case)
        return case

    return change


UNKNOWN = ModelStanding(False, False, Scope.NONE, None, "unheard of")
PAPER = Scope.PAPER

# rule, what makes it block, the nearest thing that it lets pass
BOTH_WAYS: list[tuple[str, Change, Change]] = [
    ("trading_state", exposure(state=TradingState.HALTED), exposure(state=TradingState.ACTIVE)),
    (
        "trading_state",
        exposure(state=TradingState.REDUCING),
        both(exposure(state=TradingState.REDUCING, position=D("-0.02")), proposal(reduce_only=True)),
    ),
    (
        "trading_state",
        both(exposure(state=TradingState.HALTED), proposal(reduce_only=True)),
        both(exposure(state=TradingState.HALTED), proposal(reduce_only=True, origin=Origin.RISK)),
    ),
    ("label_kind", signal(label_kind=LabelKind.EXPECTED_PNL), signal(label_kind=LabelKind.DIRECTION)),
    ("stale_vector", signal(vector_age=2_001 * MS), signal(vector_age=2_000 * MS)),
    ("stale_vector", signal(vector_age=-2_001 * MS), signal(vector_age=-MS)),
    ("stale_prediction", signal(prediction_age=1_001 * MS), signal(prediction_age=1_000 * MS)),
    ("integrity", signal(standing=UNKNOWN), signal(standing=TRUSTED)),
    ("integrity", standing(integrity=False), standing(integrity=True)),
    ("evidence", standing(evidence=Scope.NONE), standing(evidence=Scope.SIMULATED)),
    (
        "evidence",
        exposure(scope=PAPER),
        both(exposure(scope=PAPER), standing(evidence=PAPER, provenance=Provenance.RECORDED)),
    ),
    (
        "evidence",
        both(exposure(scope=Scope.LIVE), signal(exploring=True)),
        both(exposure(scope=PAPER), signal(exploring=True)),
    ),
    (
        "model_provenance",
        signal(provenance=Provenance.RECORDED),
        both(signal(provenance=Provenance.RECORDED, standing=replace(TRUSTED, provenance=Provenance.RECORDED))),
    ),
    ("model_provenance", standing(provenance=None), standing(provenance=Provenance.SIMULATED)),
    ("quote", lambda case: replace(case, quote=None), quote(1.0)),
    ("quote", lambda case: replace(case, quote=a_quote(50_000.0, -1.0)), quote(0.2)),
    ("venue_pause", exposure(paused_until=START + 1), exposure(paused_until=START)),
    ("order_in_flight", exposure(in_flight=1), exposure(in_flight=0)),
    ("spread", both(quote(51.0), proposal(price=D("50025.5"))), both(quote(50.0), proposal(price=D("50025.0")))),
    ("order_form", proposal(quantity=D("0.0205")), proposal(quantity=D("0.020"))),
    ("order_form", proposal(quantity=D(0)), proposal(quantity=D("0.001"))),
    ("price_collar", proposal(price=D("50050.6")), proposal(price=D("50050.5"))),
    ("price_collar", proposal(side=Side.SELL, price=D("49949.4")), proposal(side=Side.SELL, price=D("49949.6"))),
    (
        "order_notional",
        both(proposal(quantity=D("1.000")), exposure(equity=D(10**7))),
        both(proposal(quantity=D("0.999")), exposure(equity=D(10**7))),
    ),
    ("order_rate", exposure(sent_last_second=10), exposure(sent_last_second=9)),
    ("order_rate", exposure(sent_last_minute=100), exposure(sent_last_minute=99)),
    ("open_orders", exposure(open_orders=5), exposure(open_orders=4)),
    ("balance", exposure(equity=None), exposure(equity=D(10_000))),
    ("position_limit", exposure(position=D("0.021")), exposure(position=D("0.019"))),
    ("position_limit", exposure(pending=D("0.021")), exposure(pending=D("-0.5"))),
    ("total_limit", exposure(other_notional=D(499_500)), exposure(other_notional=D(498_000))),
    (
        "drawdown",
        exposure(equity=D(8_999), peak_equity=D(10_000), day_equity=D(8_999)),
        exposure(equity=D(9_001), day_equity=D(9_001)),
    ),
    ("daily_loss", exposure(equity=D(9_500)), exposure(equity=D(9_501))),
]


@pytest.mark.parametrize(("rule", "blocks", "passes"), BOTH_WAYS)
def test_each_rule_blocks_and_releases(rule: str, blocks: Change, passes: Change) -> None:
    refused = assess(blocks(GOOD))
    assert isinstance(refused, Denied)
    assert refused.code == rule.upper()
    assert refused.reason
    assert isinstance(assess(passes(GOOD)), Approved)


def test_no_rule_is_left_out_of_the_table() -> None:
    named = {result.rule for result in assess(GOOD).rules}
    assert named == {rule for rule, _, _ in BOTH_WAYS}
    assert len(named) == len(ALL_RULES)


ENTRY_RULES = [
    standing(evidence=Scope.NONE),
    signal(standing=UNKNOWN),
    exposure(equity=D(5_000), peak_equity=D(10_000)),
    exposure(equity=None),
    exposure(position=D("-10")),
    exposure(open_orders=50),
    quote(200.0),
]


@pytest.mark.parametrize("trouble", ENTRY_RULES)
def test_an_exit_is_let_out_of_what_an_entry_may_not_enter(trouble: Change) -> None:
    change = both(trouble, proposal(reduce_only=True, price=D("50000.5")))
    assert isinstance(assess(change(GOOD)), Approved)


def test_every_answer_is_kept_and_the_first_failure_names_the_refusal() -> None:
    refused = assess(both(exposure(state=TradingState.HALTED, in_flight=1), signal(vector_age=10**12))(GOOD))
    assert isinstance(refused, Denied)
    assert refused.code == "TRADING_STATE"
    assert [result.rule for result in refused.rules if not result.passed] == [
        "trading_state",
        "stale_vector",
        "order_in_flight",
    ]


@given(st.decimals("0.001", "10", places=3), st.decimals("-1", "1", places=3), st.sampled_from(list(Side)))
def test_an_approved_entry_never_breaks_the_position_limit(quantity: Decimal, position: Decimal, side: Side) -> None:
    price = D("50000.0") if side is Side.BUY else D("49999.5")
    case = both(proposal(quantity=quantity, side=side, price=price), exposure(position=position))(GOOD)
    if isinstance(assess(case), Approved):
        after = position + (quantity if side is Side.BUY else -quantity)
        assert abs(after) * price <= D("0.2") * 10_000


@given(st.decimals("-1000", "20000", places=2), st.decimals("1", "20000", places=2))
def test_drawdown_is_a_fraction_of_the_peak(equity: Decimal, peak: Decimal) -> None:
    down = drawdown_of(equity, peak)
    assert down >= 0
    assert (down == 0) == (equity >= peak)
    assert drawdown_of(D(1), D(0)) == 1.0
