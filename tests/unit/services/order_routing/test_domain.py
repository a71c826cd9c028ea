"""From a prediction to a decision: when it enters, holds, leaves, reverses, explores, and what it writes down."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.trading.decisions import DecisionKind
from libs.trading.market import NS_PER_SECOND, Provenance, SessionClock, Side
from libs.trading.orders import ZERO, Origin, TimeInForce
from libs.trading.portfolio import Position
from libs.trading.risk import Exposure, TradingState
from libs.trading.scoring import LabelKind, Prediction, Role, Scope
from services.order_routing.domain import (
    EXPLORE,
    MANUAL,
    ExplorePolicy,
    Held,
    InputAt,
    Opening,
    Plan,
    Question,
    cut_of,
    decision_key,
    drawn,
    held_after,
    plan,
)
from tests.builders.orders import INSTRUMENT, RULES, START, TRUSTED, a_fill, a_policy, a_prediction

D = Decimal
FLAT = Held(Position(INSTRUMENT))


def holding(quantity: str, opening: Opening | None = None) -> Held:
    mine = Opening("direction", "s1", START - NS_PER_SECOND, 10 * NS_PER_SECOND)
    return Held(Position(INSTRUMENT, D(quantity), cost=D(quantity) * 50_000), opening or mine)


def exposure(position: Decimal = ZERO, **parts: Any) -> Exposure:
    plain = Exposure(
        TradingState.ACTIVE, Scope.SIMULATED, position, D(0), 0, 0, 0, 0, D(0), D(100_000), D(100_000), D(100_000)
    )
    return replace(plain, **parts)


def ask(prediction: Prediction, held: Held = FLAT, **parts: Any) -> Plan:
    known: dict[str, Any] = {
        "prediction": prediction,
        "at": InputAt("predictions", 2, 41),
        "now": START,
        "held": held,
        "exposure": exposure(held.position.quantity),
        "policy": a_policy(),
        "standing": TRUSTED,
        "instrument": RULES,
        "explore_cut": None,
    }
    return plan(Question(**(known | parts)))


def test_a_signal_enters_with_one_unit_at_a_collared_limit() -> None:
    decided = ask(a_prediction(up=0.6, down=0.1))
    order = decided.order
    assert order is not None
    assert decided.decision.kind is DecisionKind.ENTER
    assert (order.side, order.quantity, order.price) == (Side.BUY, D("0.019"), D("50050.5"))
    assert (order.time_in_force, order.reduce_only, order.origin) == (TimeInForce.IOC, False, Origin.MODEL)
    assert order.client_order_id == decided.decision.decision_key
    assert order.recorded_time == START
    assert all(rule.passed for rule in decided.decision.rules)


def test_a_short_signal_sells() -> None:
    order = ask(a_prediction(up=0.1, down=0.6)).order
    assert order is not None
    assert (order.side, order.price) == (Side.SELL, D("49949.6"))


@pytest.mark.parametrize(("up", "down"), [(0.3, 0.2), (0.2, 0.3), (0.1, 0.1)])
def test_under_the_threshold_holds(up: float, down: float) -> None:
    decided = ask(a_prediction(up=up, down=down))
    assert (decided.decision.kind, decided.order) == (DecisionKind.HOLD, None)
    assert [rule.rule for rule in decided.decision.rules if not rule.passed] == ["signal"]


def test_never_is_a_legal_threshold() -> None:
    decided = ask(a_prediction(up=0.99, down=0.0, decision_threshold=None))
    assert (decided.decision.kind, decided.decision.threshold) == (DecisionKind.HOLD, None)


def test_a_signal_in_the_held_direction_changes_nothing() -> None:
    assert ask(a_prediction(up=0.6, down=0.1), holding("0.019")).decision.kind is DecisionKind.HOLD


def test_the_horizon_ends_a_position_reduce_only() -> None:
    old = Opening("direction", "s1", START - 10 * NS_PER_SECOND, 10 * NS_PER_SECOND)
    decided = ask(a_prediction(up=0.3, down=0.3), holding("0.019", old))
    assert decided.order is not None
    assert decided.decision.kind is DecisionKind.EXIT
    assert (decided.order.side, decided.order.quantity, decided.order.reduce_only) == (Side.SELL, D("0.019"), True)


def test_the_opposite_signal_reverses_through_zero_in_one_order() -> None:
    decided = ask(a_prediction(up=0.1, down=0.6), holding("0.019"))
    assert decided.order is not None
    assert decided.decision.kind is DecisionKind.REVERSE
    assert decided.order.quantity == D("0.019") + D("0.020")
    assert not decided.order.reduce_only


def test_a_reversal_whose_entry_is_refused_still_leaves() -> None:
    decided = ask(
        a_prediction(up=0.1, down=0.6), holding("0.019"), exposure=exposure(D("0.019"), state=TradingState.REDUCING)
    )
    assert decided.order is not None
    assert decided.decision.kind is DecisionKind.EXIT
    assert (decided.order.quantity, decided.order.reduce_only) == (D("0.019"), True)
    assert decided.decision.denied is not None
    assert decided.decision.denied[0] == "TRADING_STATE"


def test_a_refusal_is_a_row_with_every_answer() -> None:
    decided = ask(a_prediction(now=START - 10 * NS_PER_SECOND))
    assert decided.order is None
    assert decided.decision.kind is DecisionKind.DENIED
    assert decided.decision.denied is not None
    assert decided.decision.denied[0] == "STALE_VECTOR"
    assert {"stale_vector", "stale_prediction"} <= {rule.rule for rule in decided.decision.rules if not rule.passed}


def test_a_label_that_gives_no_direction_is_refused_by_name() -> None:
    decided = ask(a_prediction(label_kind=LabelKind.EXPECTED_PNL, classes=("a", "b"), probabilities=(0.5, 0.5)))
    assert decided.decision.denied is not None
    assert decided.decision.denied[0] == "LABEL_KIND"


def test_without_a_quote_nothing_is_sent() -> None:
    decided = ask(a_prediction(quote=None))
    assert decided.decision.denied == ("QUOTE", "no quote")


def test_drawdown_halves_the_unit() -> None:
    order = ask(a_prediction(), exposure=exposure(equity=D(94_000), day_equity=D(94_000))).order
    assert order is not None
    assert order.quantity == D("0.009")


def test_a_position_of_another_session_leaves_at_the_first_chance() -> None:
    old = Opening("direction", "s0", START, 10**15)
    assert ask(a_prediction(up=0.3, down=0.3), holding("0.019", old)).decision.kind is DecisionKind.EXIT


def test_a_position_that_nobody_decided_on_leaves() -> None:
    held = Held(Position(INSTRUMENT, D("0.5"), cost=D(25_000)), None)
    assert ask(a_prediction(up=0.3, down=0.3), held).decision.kind is DecisionKind.EXIT


def test_a_manual_position_is_left_alone() -> None:
    by_hand = Opening(MANUAL, "s1", 0, 0)
    assert ask(a_prediction(up=0.1, down=0.8), holding("0.019", by_hand)).decision.kind is DecisionKind.HOLD


def test_the_champion_leaves_an_explored_position_to_its_horizon() -> None:
    explored = Opening(EXPLORE, "s1", START - NS_PER_SECOND, 10 * NS_PER_SECOND)
    assert ask(a_prediction(up=0.1, down=0.8), holding("0.001", explored)).decision.kind is DecisionKind.HOLD
    over = replace(explored, as_of=START - 10 * NS_PER_SECOND)
    assert ask(a_prediction(up=0.3, down=0.3), holding("0.001", over)).decision.kind is DecisionKind.EXIT


def test_what_a_session_plays_fast_or_holds_is_history_and_nothing_is_done_about_it() -> None:
    for rate in (0.0, 20.0):
        past = a_prediction(up=0.9, down=0.0, clock=SessionClock(START, START, rate))
        decided = ask(past, holding("-0.019"))
        assert (decided.decision.kind, decided.order) == (DecisionKind.HOLD, None)
        assert [rule.rule for rule in decided.decision.rules] == ["clock"]
    assert ask(a_prediction(up=0.9, down=0.0)).order is not None


# --- who may trade


def test_a_challenger_never_trades_unless_it_is_explored() -> None:
    decided = ask(a_prediction(role=Role.CHALLENGER, up=0.9, down=0.0), explore_cut=0.1)
    assert (decided.decision.kind, decided.decision.threshold) == (DecisionKind.HOLD, None)


def exploring(**parts: Any) -> dict[str, Any]:
    explore = ExplorePolicy(chance=1.0, **parts)
    recorded = replace(TRUSTED, evidence=Scope.NONE, provenance=Provenance.RECORDED)
    policy = a_policy(scope=Scope.PAPER, explore=explore)
    return {"policy": policy, "standing": recorded, "exposure": exposure(scope=Scope.PAPER), "explore_cut": 0.4}


def challenger(**parts: Any) -> Prediction:
    return a_prediction(role=Role.CHALLENGER, provenance=Provenance.RECORDED, decision_threshold=None, **parts)


def test_exploring_takes_the_smallest_size_with_its_propensity() -> None:
    decided = ask(challenger(up=0.6, down=0.1), **exploring())
    assert decided.order is not None
    assert (decided.decision.origin, decided.decision.propensity) == (Origin.EXPLORATION, 1.0)
    assert decided.order.quantity == D("0.001")
    assert decided.decision.strategy == EXPLORE


def test_exploring_needs_no_evidence_but_integrity() -> None:
    bad = exploring()
    bad["standing"] = replace(bad["standing"], integrity=False)
    decided = ask(challenger(up=0.6, down=0.1), **bad)
    assert decided.decision.denied is not None
    assert decided.decision.denied[0] == "INTEGRITY"


def test_under_the_cut_is_not_explored() -> None:
    assert ask(challenger(up=0.5, down=0.2), **exploring()).decision.kind is DecisionKind.HOLD


def test_live_never_explores() -> None:
    live = exploring()
    live["policy"] = a_policy(scope=Scope.LIVE, explore=ExplorePolicy(chance=1.0))
    assert ask(challenger(up=0.9, down=0.0), **live).order is None


def test_a_draw_that_misses_is_a_hold_with_its_propensity() -> None:
    chances = exploring()
    chances["policy"] = replace(chances["policy"], explore=ExplorePolicy(chance=1e-12))
    decided = ask(challenger(up=0.6, down=0.1), **chances)
    assert (decided.decision.kind, decided.decision.propensity) == (DecisionKind.HOLD, 1e-12)


def test_exploring_leaves_on_the_opposite_signal_and_does_not_reverse() -> None:
    mine = Opening(EXPLORE, "s1", START - NS_PER_SECOND, 10 * NS_PER_SECOND)
    chances = exploring()
    chances["exposure"] = replace(chances["exposure"], position=D("0.001"))
    decided = ask(challenger(up=0.1, down=0.8), holding("0.001", mine), **chances)
    assert decided.decision.kind is DecisionKind.EXIT


def test_the_cut_is_the_top_decile_once_enough_is_known() -> None:
    policy = ExplorePolicy(minimum=40)
    assert cut_of([0.1] * 39, policy) is None
    assert cut_of([number / 100 for number in range(100)], policy) == 0.90


@given(st.integers(0, 10**6))
def test_a_draw_depends_on_seed_and_key_alone(seed: int) -> None:
    policy = ExplorePolicy(seed=seed)
    assert drawn(policy, "key") == drawn(policy, "key")


def test_draws_come_as_often_as_their_chance() -> None:
    taken = sum(drawn(ExplorePolicy(chance=0.3), f"key-{number}") for number in range(5_000))
    assert 0.27 < taken / 5_000 < 0.33


# --- identity


def test_a_hot_swap_of_the_model_keeps_the_decision_key() -> None:
    one, other = a_prediction(), a_prediction(bundle_digest="digest-2", model_version=2, id="other")
    assert decision_key(a_policy(), one) == decision_key(a_policy(), other)


def test_champion_and_challenger_have_rows_of_their_own() -> None:
    assert decision_key(a_policy(), a_prediction()) != decision_key(a_policy(), a_prediction(role=Role.CHALLENGER))


def test_the_same_question_gives_the_same_answer() -> None:
    assert ask(a_prediction()) == ask(a_prediction())


# --- whose position it is


def test_the_owner_is_who_opened_or_flipped() -> None:
    first, second = Opening("a", "s1", 1, 1), Opening("b", "s1", 2, 2)
    held = held_after(FLAT, a_fill(quantity=D(1)), first)
    assert held.opening == first
    assert held_after(held, a_fill(quantity=D(1)), second).opening == first
    assert held_after(held, a_fill(quantity=D(2), side=Side.SELL), second).opening == second
    assert held_after(held, a_fill(quantity=D(1), side=Side.SELL), second).opening is None
