"""The hot path: recorded before it is sent, decided once, offsets with decisions, refusals as rows."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from libs.trading.decisions import Decision, DecisionKind
from libs.trading.market import NS_PER_SECOND
from libs.trading.orders import Order, OrderState
from libs.trading.risk import TradingState
from libs.trading.scoring import Role
from libs.wire.orders import decode_event
from services.order_routing.domain import ExplorePolicy, InputAt, decision_key
from services.order_routing.ports import LeaseLost
from tests.builders.orders import INSTRUMENT, RULES, START, UNTRUSTED, a_policy, a_prediction, a_quote
from tests.fakes.paper_venue import FakeClock, Faults, PaperVenueInMemory
from tests.fakes.router_world import Crash, RouterWorld

CALM = Faults(partial=0.0, nothing_filled=0.0)


def at(offset: int) -> InputAt:
    return InputAt("predictions", 0, offset)


def test_a_signal_becomes_a_filled_position() -> None:
    world = RouterWorld()
    router = world.started()
    order = router.predictions.handle(a_prediction(now=world.clock.now), at(0))
    assert order is not None
    assert order.state is OrderState.ACKNOWLEDGED
    router.tend()
    assert router.account.holding(INSTRUMENT).position.quantity == world.venue.held() != 0
    assert not router.account.live


def test_it_is_recorded_before_it_is_sent() -> None:
    dies = {"before send"}
    world = RouterWorld(crash=lambda step: step in dies)
    router = world.started()
    prediction = a_prediction(now=world.clock.now)
    with pytest.raises(Crash):
        router.predictions.handle(prediction, at(0))
    key = decision_key(world.policy, prediction)
    order = world.journal.order("paper", key)
    assert order is not None
    assert order.state is OrderState.RECORDED
    assert not world.venue.sent
    assert router.account.journal.load("paper", START, 1).offsets == {("predictions", 0): 1}


def test_decision_order_and_offset_are_one_transaction() -> None:
    armed: list[str] = []
    world = RouterWorld(crash=lambda step: step in armed)
    router = world.start()
    router.account.open_balances(Decimal(1000), START)
    armed.append("before commit")
    prediction = a_prediction(now=world.clock.now)
    with pytest.raises(Crash, match="before commit"):
        router.predictions.handle(prediction, at(5))
    stored = world.journal.load("paper", START, 1)
    assert (stored.offsets, stored.live_orders, stored.sequence) == ({}, (), 0)
    assert world.journal.decision("paper", decision_key(world.policy, prediction)) is None


def test_a_prediction_that_comes_again_is_decided_once() -> None:
    world = RouterWorld()
    router = world.started()
    prediction = a_prediction(now=world.clock.now)
    router.predictions.handle(prediction, at(0))
    assert router.predictions.handle(prediction, at(1)) is None
    assert sum(world.venue.sent.values()) == 1
    assert router.account.offsets["predictions", 0] == 2
    assert len(world.told.decisions) == 1


def test_idempotency_comes_before_staleness_also_after_a_restart() -> None:
    world = RouterWorld()
    prediction = a_prediction(now=world.clock.now)
    world.started().predictions.handle(prediction, at(0))
    world.clock.advance(60 * NS_PER_SECOND)
    router = world.started()
    router.predictions.handle(prediction, at(0))
    stored = world.journal.decision("paper", decision_key(world.policy, prediction))
    assert stored is not None
    assert stored.kind is DecisionKind.ENTER


def test_a_later_model_version_cannot_decide_the_same_vector_again() -> None:
    world = RouterWorld()
    router = world.started()
    router.predictions.handle(a_prediction(now=world.clock.now), at(0))
    as_of = world.told.decisions[0].as_of
    swapped = a_prediction(now=world.clock.now, as_of=as_of, bundle_digest="digest-2", up=0.1, down=0.6)
    assert router.predictions.handle(swapped, at(1)) is None
    assert sum(world.venue.sent.values()) == 1


def test_every_prediction_is_a_row_hold_and_refusal_included() -> None:
    world = RouterWorld()
    router = world.started()
    hold = a_prediction(up=0.3, down=0.3, now=world.clock.now)
    router.predictions.handle(hold, at(0))
    world.standing.given = UNTRUSTED
    refused = a_prediction(now=world.clock.now + 1)
    router.predictions.handle(refused, at(1))
    kinds = [world.journal.decision("paper", decision_key(world.policy, prediction)) for prediction in (hold, refused)]
    assert [found.kind for found in kinds if found] == [DecisionKind.HOLD, DecisionKind.DENIED]
    assert kinds[1] is not None
    assert kinds[1].denied is not None
    assert kinds[1].denied[0] == "INTEGRITY"
    assert not world.venue.sent


def test_it_does_not_act_while_an_order_has_no_end() -> None:
    clock = FakeClock(START)
    venue = PaperVenueInMemory(clock, a_quote(), RULES, faults=replace(CALM, lost_request=1.0))
    world = RouterWorld(venue)
    router = world.started()
    router.predictions.handle(a_prediction(now=clock.now), at(0))
    router.predictions.handle(a_prediction(now=clock.now + 1), at(1))
    assert world.told.decisions[1].denied is not None
    assert world.told.decisions[1].denied[0] == "ORDER_IN_FLIGHT"
    assert sum(venue.sent.values()) == 1


def test_a_lost_lease_sends_nothing() -> None:
    world = RouterWorld()
    router = world.started()
    world.clock.advance(4 * NS_PER_SECOND)
    with pytest.raises(LeaseLost):
        router.predictions.handle(a_prediction(now=world.clock.now), at(0))
    assert not world.venue.sent


def test_another_holder_makes_every_write_fail() -> None:
    world = RouterWorld()
    old = world.started()
    world.clock.advance(4 * NS_PER_SECOND)
    new = world.started()
    with pytest.raises(LeaseLost, match="router-2"):
        old.predictions.handle(a_prediction(now=world.clock.now), at(0))
    assert not world.venue.sent
    new.predictions.handle(a_prediction(now=world.clock.now), at(0))
    assert sum(world.venue.sent.values()) == 1


def test_the_rate_limit_counts_orders_from_before_a_restart() -> None:
    world = RouterWorld()
    router = world.started()
    router.predictions.handle(a_prediction(now=world.clock.now), at(0))
    again = world.started()
    assert again.account.exposure(INSTRUMENT, world.clock.now).sent_last_minute == 1


def test_a_drawdown_halts_the_account_and_it_stays_halted() -> None:
    world = RouterWorld(policy=a_policy(unit="20000"))
    router = world.started()
    router.predictions.handle(a_prediction(up=0.1, down=0.6, now=world.clock.now), at(0))
    router.tend()
    router.account.note_quote(INSTRUMENT, "s1", a_quote(150_000.0), START)
    assert router.account.state is TradingState.HALTED
    assert any(critical for _, _, critical in world.told.alerts)
    assert world.started().account.state is TradingState.HALTED


def test_an_instrument_that_is_not_traded_only_moves_the_offset() -> None:
    world = RouterWorld()
    router = world.started()
    for offset in range(2):
        router.predictions.handle(a_prediction(instrument="sim.linear.ETHUSDT", now=world.clock.now), at(offset))
    assert router.account.offsets["predictions", 0] == 2
    assert not world.told.decisions
    assert [code for code, _, _ in world.told.alerts] == ["UNKNOWN_INSTRUMENT"]


def test_the_outbox_tells_the_whole_story_in_order() -> None:
    world = RouterWorld()
    router = world.started()
    router.predictions.handle(a_prediction(now=world.clock.now), at(0))
    router.tend()
    facts = [decode_event(payload).fact for _, payload in world.journal.events("paper", 0, 100)]
    assert isinstance(facts[0], Decision)
    assert isinstance(facts[1], Order)
    assert facts[1].state is OrderState.RECORDED
    assert isinstance(facts[-1], Order)
    assert facts[-1].state is OrderState.FILLED


def test_the_latency_of_each_hop_is_told() -> None:
    world = RouterWorld()
    router = world.started()
    router.predictions.handle(a_prediction(now=world.clock.now - 1_000_000), at(0))
    assert {name for name, _ in world.told.hops} == {"features", "predict", "read", "decide", "send", "total"}
    assert all(ns >= 0 for _, ns in world.told.hops)


def test_the_exploring_window_survives_a_restart() -> None:
    explore = ExplorePolicy(window=5, minimum=3)
    world = RouterWorld(policy=a_policy(explore=explore))
    router = world.started()
    for number in range(7):
        up = 0.3 + number / 100
        router.predictions.handle(a_prediction(up=up, down=0.3, now=world.clock.now, role=Role.CHALLENGER), at(number))
    scores = router.account.scores(INSTRUMENT)
    assert len(scores) == 5
    assert world.started().account.scores(INSTRUMENT) == scores


def test_decisions_without_orders_share_a_commit_and_keep_their_places() -> None:
    world = RouterWorld()
    router = world.started()
    quiet = [a_prediction(now=world.clock.now, as_of=START + n, up=0.3, down=0.3) for n in range(3)]
    router.predictions.handle(quiet[0], at(0), more=True)
    router.predictions.handle(quiet[1], at(1), more=True)
    keys = [decision_key(world.policy, prediction) for prediction in quiet]
    assert [world.journal.decision("paper", key) for key in keys] == [None, None, None]
    router.predictions.handle(quiet[0], at(2), more=True)
    router.predictions.handle(quiet[2], at(3))
    stored = world.journal.load("paper", START, 1)
    assert stored.offsets == {("predictions", 0): 4}
    assert all(world.journal.decision("paper", key) is not None for key in keys)
    assert router.account.sequence == stored.sequence


def test_an_order_takes_the_waiting_decisions_along_before_it_is_sent() -> None:
    world = RouterWorld(crash=lambda step: step == "before send")
    router = world.started()
    quiet = a_prediction(now=world.clock.now, as_of=START, up=0.3, down=0.3)
    loud = a_prediction(now=world.clock.now, as_of=START + 1)
    router.predictions.handle(quiet, at(0), more=True)
    with pytest.raises(Crash):
        router.predictions.handle(loud, at(1), more=True)
    assert world.journal.load("paper", START, 1).offsets == {("predictions", 0): 2}
    for prediction in (quiet, loud):
        assert world.journal.decision("paper", decision_key(world.policy, prediction)) is not None


def test_a_crash_before_the_shared_commit_decides_again_from_the_old_place() -> None:
    world = RouterWorld()
    router = world.started()
    router.predictions.handle(a_prediction(now=world.clock.now, up=0.3, down=0.3), at(0), more=True)
    assert world.journal.load("paper", START, 1).offsets == {}


def test_poison_that_is_met_after_the_term_moves_nothing_of_the_next_one() -> None:
    world = RouterWorld()
    old = world.started()
    old.predictions.handle(a_prediction(up=0.3, down=0.3, now=world.clock.now), at(5), more=True)
    old.account.end(LeaseLost("another holds it"))
    new = world.started()
    with pytest.raises(LeaseLost):
        old.predictions.poison(at(6), "no prediction")
    assert new.account.state is TradingState.ACTIVE
    assert new.account.offsets == {}, "what was read before it was never decided"
