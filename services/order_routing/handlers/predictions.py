"""Decides on each prediction as it comes, journals the decision, and sends its order."""

from __future__ import annotations

from collections.abc import Mapping

from libs.trading.instrument import InstrumentRules
from libs.trading.orders import Order
from libs.trading.risk import TradingState
from libs.trading.scoring import Prediction
from services.order_routing.domain import InputAt, Question, cut_of, decision_key, plan, strategy_of
from services.order_routing.handlers.account import Account
from services.order_routing.handlers.sending import Sender
from services.order_routing.ports import Observer, Standings


class Predictions:
    """The hot path: one prediction in, one decision row out, at most one order sent."""

    def __init__(
        self,
        account: Account,
        sender: Sender,
        standings: Standings,
        instruments: Mapping[str, InstrumentRules],
        observer: Observer,
    ) -> None:
        self._account = account
        self._sender = sender
        self._standings = standings
        self._instruments = instruments
        self._observer = observer
        self._strangers: set[str] = set()

    def handle(self, prediction: Prediction, at: InputAt, more: bool = False) -> Order | None:
        """Decide once, however often the prediction comes. Returns the order after the venue's answer, if there is one.

        `more` says that other predictions wait behind this one, so that decisions without an order may share a commit.

        A prediction of an instrument that this account does not trade only moves the offset; people are told once.
        """
        rules = self._instruments.get(prediction.instrument)
        account, policy = self._account, self._account.policy
        if rules is None:
            account.skip(at, more)
            self._not_ours(prediction.instrument)
            return None
        with account.lock:
            if self._decided(prediction):
                account.skip(at, more)
                return None
            if prediction.quote is not None and prediction.clock.rate == 1.0:
                account.note_quote(prediction.instrument, prediction.session, prediction.quote, prediction.as_of)
            now = account.clock()
            account.last_input = (now, prediction.instrument, prediction.session)
            self._observer.heard(now)
            question = Question(
                prediction=prediction,
                at=at,
                now=now,
                held=account.holding(prediction.instrument),
                exposure=account.exposure(prediction.instrument, now),
                policy=policy,
                standing=self._standings.standing(prediction.bundle_digest),
                instrument=rules,
                explore_cut=self._cut(prediction),
            )
            planned = plan(question)
            account.record(planned, at, more)
        if planned.order is None:
            return None
        return self._send(prediction, planned.order, question.now)

    def poison(self, at: InputAt, why: str) -> None:
        """An input that is no prediction: nothing is skipped in silence, so the account halts until a person looks."""
        account = self._account
        if account.state is not TradingState.HALTED:
            where = f"{at.topic}/{at.partition}/{at.offset}"
            account.set_state(TradingState.HALTED, "reconciliation", f"poison at {where}: {why}")
        account.skip(at)

    def _not_ours(self, instrument: str) -> None:
        if instrument not in self._strangers:
            self._strangers.add(instrument)
            self._account.alerts.alert("UNKNOWN_INSTRUMENT", f"{instrument} is not traded here", critical=False)

    def _send(self, prediction: Prediction, order: Order, taken: int) -> Order:
        account = self._account
        journaled = account.clock()
        written: list[int] = []
        sent = self._sender.send(order, lambda: written.append(account.clock()))
        if written:
            self._measure(prediction, taken, journaled, written[0])
        return sent

    def _decided(self, prediction: Prediction) -> bool:
        account, strategy = self._account, strategy_of(prediction.role)
        if not account.maybe_decided(strategy, prediction.session, prediction.instrument, prediction.as_of):
            return False
        return account.is_decided(decision_key(account.policy, prediction))

    def _cut(self, prediction: Prediction) -> float | None:
        explore = self._account.policy.explore
        return None if explore is None else cut_of(self._account.scores(prediction.instrument), explore)

    def _measure(self, prediction: Prediction, taken: int, journaled: int, written: int) -> None:
        """Wall time by hop; what came before the vector was written is turned from session to wall time."""
        observer, clock = self._observer, prediction.clock
        session_age = clock.session_time(prediction.vector_written) - prediction.received_time
        if clock.rate > 0:
            received = prediction.vector_written - int(session_age / clock.rate)
            observer.hop("features", prediction.vector_written - received)
            observer.hop("total", written - received)
        observer.hop("predict", prediction.predicted - prediction.vector_written)
        observer.hop("read", taken - prediction.predicted)
        observer.hop("decide", journaled - taken)
        observer.hop("send", written - journaled)
