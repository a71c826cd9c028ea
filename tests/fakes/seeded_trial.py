"""One seeded history of a router among faults and crashes, and the questions that its end must answer."""

from __future__ import annotations

import random
from decimal import Decimal

from libs.trading.market import NS_PER_SECOND
from libs.trading.orders import TERMINAL
from libs.trading.portfolio import signed
from libs.trading.risk import TradingState
from libs.wire.orders import decode_event
from services.order_routing.domain import InputAt, decision_key
from services.order_routing.handlers.router import Router
from services.order_routing.ports import VenueUnavailable
from tests.builders.orders import INSTRUMENT, RULES, START, a_prediction, a_quote
from tests.fakes.paper_venue import CALM, FakeClock, Faults, PaperVenueInMemory
from tests.fakes.router_world import Crash, RouterWorld

MS = 1_000_000


def faults_of(chance: random.Random) -> Faults:
    """Some faults often, some never: every run has its own weather."""

    def some(most: float) -> float:
        return chance.choice([0.0, most / 4, most])

    return Faults(
        accept_then_timeout=some(0.4),
        lost_request=some(0.3),
        delayed_request=some(0.3),
        rate_limited=some(0.2),
        clock_skew=some(0.2),
        turned_down=some(0.1),
        unknown_code=some(0.1),
        cancel_unclear=some(0.4),
        question_fails=some(0.3),
        history_lag=some(0.5),
        fill_lag=some(0.5),
        news_lost=some(0.5),
        news_twice=some(0.5),
        news_shuffled=some(0.8),
    )


class Trial:
    """`run()` raises AssertionError when anything was lost, doubled or differs from the venue."""

    def __init__(self, seed: int, predictions: int = 10) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.clock = FakeClock(START)
        faults = faults_of(self.chance)
        self.venue = PaperVenueInMemory(self.clock, a_quote(), RULES, seed=seed, faults=faults)
        self.crash_rate = self.chance.choice([0.0, 0.02, 0.1])
        self.crashes = 0
        self.pace = self.chance.choice([300, 700, 2_500])  # ms between predictions, at most
        self.world = RouterWorld(self.venue, crash=self._dies)
        self.log = [self._prediction() for _ in range(predictions)]

    def _dies(self, _step: str) -> bool:
        dies = self.chance.random() < self.crash_rate
        self.crashes += dies
        return dies

    def _prediction(self) -> tuple[float, float]:
        """Signals of both signs, few holds, at increasing as-of; made when the clock gets there."""
        up = self.chance.choice([0.7, 0.1, 0.4, 0.7, 0.1])
        down = self.chance.choice([0.1, 0.2]) if up > 0.5 else 0.6 if up < 0.2 else 0.35
        return up, down

    def run(self) -> None:
        router = self._restart()
        offset = 0
        while offset < len(self.log):
            try:
                offset = router.account.offsets.get(("predictions", 0), 0)
                if offset >= len(self.log):
                    break
                self._step(router, offset)
            except Crash:
                router = self._restart()
            except VenueUnavailable:
                self.clock.advance(100 * MS)
        self._settle(router)
        self._check(router)

    def _step(self, router: Router, offset: int) -> None:
        up, down = self.log[offset]
        self.clock.advance(self.chance.randint(50, self.pace) * MS)
        self.world.keep(router)
        self.venue.arrive()
        as_of = START + (offset + 1) * 3 * NS_PER_SECOND
        self.venue.book = a_quote(50_000.0 + self.chance.randint(-100, 100))
        prediction = a_prediction(up=up, down=down, now=self.clock.now, as_of=as_of, quote=self.venue.book)
        router.predictions.handle(prediction, InputAt("predictions", 0, offset))
        if self.chance.random() < 0.1:  # the same prediction once more, under another offset in the log
            router.predictions.handle(prediction, InputAt("predictions", 0, offset))
        self._listen(router)
        for _ in range(self.chance.choice([0, 1, 1, 3])):
            self.clock.advance(self.chance.randint(1, self.pace) * MS)
            self.world.keep(router)
            router.tend()

    def _listen(self, router: Router) -> None:
        for news in self.venue.take_news():
            router.reconciliation.news(news)

    def _restart(self) -> Router:
        self.venue.news.clear()
        while True:
            try:
                router = self.world.start()
                router.begin()
                return router
            except Crash:
                continue
            except VenueUnavailable:
                self.clock.advance(100 * MS)

    def _settle(self, router: Router) -> None:
        """The weather clears, and time passes."""
        self.crash_rate = 0.0
        self.venue.faults = CALM
        for _ in range(40):
            self.clock.advance(NS_PER_SECOND)
            self.world.keep(router)
            self.venue.arrive()
            self._listen(router)
            router.tend()
            if not router.account.live and not self.venue._late:
                break
        router.tend()
        router.reconciliation.check_invariants()

    def _check(self, router: Router) -> None:
        account, journal, venue = router.account, self.world.journal, self.venue
        name = account.policy.account
        assert not account.live, [order.state for order in account.live.values()]
        doubled = {key: count for key, count in venue.sent.items() if count > 1}
        assert not doubled, f"sent twice: {doubled}"
        assert all(count == 1 for count in venue.received.values())
        orders = journal.orders(name, "", (), None, 10_000)
        assert all(order.state in TERMINAL for order in orders)
        by_id = {order.client_order_id: order for order in orders}
        assert set(venue.orders) <= set(by_id), "the venue has an order that the journal lacks"
        for key, at in venue.orders.items():
            assert by_id[key].filled_quantity == at.filled, key
            assert by_id[key].fees_quote == sum((fill.fee_quote for fill in at.fills), Decimal(0))
            ids = {fill.execution_id for fill in journal.fills(name, key)}
            assert ids == {fill.execution_id for fill in at.fills}
        assert account.holding(INSTRUMENT).position.quantity == venue.held()
        assert sum((signed(o.side, o.filled_quantity) for o in orders), Decimal(0)) == venue.held()
        self._check_decisions(router)
        self._check_events(router)
        assert account.state is TradingState.ACTIVE, account.state_reason

    def _check_decisions(self, router: Router) -> None:
        account = router.account
        for offset in range(len(self.log)):
            as_of = START + (offset + 1) * 3 * NS_PER_SECOND
            key = decision_key(account.policy, a_prediction(as_of=as_of))
            assert account.journal.decision(account.policy.account, key) is not None, f"prediction {offset} has no row"

    def _check_events(self, router: Router) -> None:
        events = router.account.journal.events(router.account.policy.account, 0, 100_000)
        assert [sequence for sequence, _ in events] == list(range(1, len(events) + 1))
        assert all(decode_event(payload).sequence == sequence for sequence, payload in events)
