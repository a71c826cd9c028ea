"""What the router needs from the world: a journal, a venue, verdicts, a publisher, alerts and someone who counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol

from libs.trading.decisions import AccountEvent, Decision, TradingStateChanged
from libs.trading.instrument import InstrumentRules
from libs.trading.market import Quote
from libs.trading.orders import Fill, Order, OrderState, Reported
from libs.trading.risk import ModelStanding, TradingState
from services.order_routing.domain import Held, InputAt

Clock = Callable[[], int]  # wall ns since 1970 UTC


# --- the journal


class JournalProblem(Exception):
    """The journal cannot be used; nothing is sent without it."""


class JournalAway(JournalProblem):
    """The journal does not answer now. Whether what was being written is there is known when it answers again."""


class LeaseLost(Exception):
    """Another router holds the account; this one must not write or send any more."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to act for one account until `expires` (wall ns); `epoch` grows with every holder.

    `quiet_from`: until when the holder before could send; the next waits the receive window from it. 0: it gave back.
    """

    account: str
    holder: str
    epoch: int
    expires: int
    quiet_from: int = 0


@dataclass(frozen=True, slots=True)
class Balances:
    """In quote units. `opening`: the equity with which the journal began; `day`: days since 1970 of `day_equity`."""

    opening: Decimal
    peak: Decimal
    day: int
    day_equity: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Everything that one transaction writes; either all of it is durable afterwards or nothing."""

    events: tuple[AccountEvent, ...] = ()
    decisions: tuple[Decision, ...] = ()
    new_orders: tuple[Order, ...] = ()
    changed_orders: tuple[Order, ...] = ()
    fills: tuple[Fill, ...] = ()
    trading_state: TradingStateChanged | None = None
    balances: Balances | None = None
    consumed: tuple[InputAt, ...] = ()
    time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a router starts from. `latest_as_of` is keyed by (strategy, session, instrument)."""

    live_orders: tuple[Order, ...] = ()
    held: tuple[Held, ...] = ()
    execution_ids: frozenset[str] = frozenset()
    trading_state: TradingState = TradingState.ACTIVE
    state_by: str = ""
    state_reason: str = ""
    sequence: int = 0
    offsets: dict[tuple[str, int], int] = field(default_factory=dict)  # next offset by (topic, partition)
    balances: Balances | None = None
    sent_times: tuple[int, ...] = ()
    latest_as_of: dict[tuple[str, str, str], int] = field(default_factory=dict)
    explore_scores: dict[str, tuple[float, ...]] = field(default_factory=dict)  # |score| by instrument, oldest first


@dataclass(frozen=True, slots=True)
class Standing:
    """What the rows say is open and held as of `sequence`."""

    sequence: int
    live_orders: tuple[Order, ...]
    held: tuple[Held, ...]


@dataclass(frozen=True, slots=True)
class Keep:
    """How long rows are kept that nothing needs any more (ns), and how many go in one transaction.

    `events`: of the outbox, once they are on the topic. `decisions`: those without an order. The newest of each session
    and the newest `explore_window` of each exploring instrument stay.
    """

    events: int
    decisions: int
    explore_window: int = 1
    batch: int = 100


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows went, and whether there may be more to remove now: also behind rows that stay."""

    rows: int
    more: bool


class Journal(Protocol):
    def check(self) -> None:
        """Raises JournalAway while it does not answer; ends the process when it is none that this router may use."""

    def acquire(self, account: str, holder: str, now: int, duration: int) -> Lease | None:
        """Take the lease when it is free or has expired; None while another holds it."""

    def renew(self, lease: Lease, now: int, duration: int) -> Lease:
        """Raises LeaseLost when it is another's; one that ran out and that nobody took goes on."""

    def release(self, lease: Lease, now: int) -> None: ...

    def load(self, account: str, now: int, explore_window: int) -> Stored: ...

    def standing(self, account: str, before: Standing) -> Standing:
        """What is open now, and `before`'s positions moved by the fills since: as quick after a year as on day one."""

    def commit(self, entry: Entry, lease: Lease) -> None:
        """Write an entry durably. Raises LeaseLost when the lease is another's, JournalProblem when nothing was.

        JournalAway: nobody knows whether it was; whoever wrote it reads everything anew.
        """

    def decision(self, account: str, key: str) -> Decision | None: ...

    def decision_of_prediction(self, account: str, prediction_id: str) -> Decision | None: ...

    def order(self, account: str, client_order_id: str) -> Order | None: ...

    def orders_of_decision(self, account: str, key: str) -> tuple[Order, ...]: ...

    def orders(
        self, account: str, instrument: str, states: Collection[OrderState], after: tuple[int, str] | None, limit: int
    ) -> tuple[Order, ...]:
        """In order of (recorded time, id) after that pair; an empty instrument or no states mean all."""

    def fills(self, account: str, client_order_id: str) -> tuple[Fill, ...]: ...

    def events(self, account: str, after: int, limit: int) -> tuple[tuple[int, bytes], ...]:
        """(sequence, encoded event) in order after a sequence."""

    def first_event(self, account: str) -> int:
        """The smallest sequence that was not removed; 0 when there is none."""

    def published(self, account: str) -> int:
        """The greatest sequence known to be on the topic; 0 before the first."""

    def mark_published(self, lease: Lease, sequence: int) -> None: ...

    def prune(self, lease: Lease, keep: Keep, now: int) -> Pruned:
        """Remove one batch of what need not be kept any more."""

    def tidy(self) -> None:
        """Work that keeps later commits quick; loses nothing when it is never done."""


# --- the venue


class VenueUnavailable(Exception):
    """A question to the venue got no answer; it says nothing about any order."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The venue received the order; whether it lives is told by its stream or a query."""

    venue_order_id: str


@dataclass(frozen=True, slots=True)
class NotTaken:
    """Not accepted for sure. `resume_at` (wall ns): no orders before; `halt`: the venue wants none from us at all."""

    reason: str
    resume_at: int | None = None
    halt: bool = False


@dataclass(frozen=True, slots=True)
class TurnedDown:
    """The venue refused the order itself."""

    reason: str


@dataclass(frozen=True, slots=True)
class ExistsAlready:
    """The venue has an order of this id: ask for it."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """No trustworthy answer; the order may or may not be at the venue."""

    reason: str


SubmitOutcome = Accepted | NotTaken | TurnedDown | ExistsAlready | Unclear


@dataclass(frozen=True, slots=True)
class CancelTaken:
    """The venue received the cancel; the order's end is told by its stream or a query."""


CancelOutcome = CancelTaken | NotTaken | Unclear


@dataclass(frozen=True, slots=True)
class Sighting:
    """What the venue shows of one order in every place where it could. Both empty: it shows nothing."""

    report: Reported | None
    fills: tuple[Fill, ...]


@dataclass(frozen=True, slots=True)
class VenueOrder:
    """An order as the venue lists it, ours or not; `details` has what an adopted order needs."""

    details: Order
    report: Reported


@dataclass(frozen=True, slots=True)
class OrderNews:
    client_order_id: str
    report: Reported


@dataclass(frozen=True, slots=True)
class FillNews:
    fill: Fill


@dataclass(frozen=True, slots=True)
class StreamBack:
    """The private stream is (again) complete from here on; what was missed must be asked for."""


News = OrderNews | FillNews | StreamBack


class Venue(Protocol):
    """Every call blocks at most its timeout. Questions raise VenueUnavailable; submit and cancel never raise."""

    def submit(self, order: Order, rules: InstrumentRules, written: Callable[[], None]) -> SubmitOutcome:
        """Send once, signed with the order's recorded time; `written` is called after the request's last byte."""

    def cancel(self, order: Order, rules: InstrumentRules, now: int) -> CancelOutcome: ...

    def cancel_all(self, rules: InstrumentRules, now: int) -> CancelOutcome: ...

    def look(self, order: Order, rules: InstrumentRules) -> Sighting:
        """Open orders, history and executions, asked for the client order id; returns only when all answered."""

    def open_orders(self, rules: InstrumentRules) -> Sequence[VenueOrder]: ...

    def executions(self, rules: InstrumentRules, known: Collection[str]) -> Sequence[Fill]:
        """Fills not in `known`, oldest first: pages back from the newest until one full page holds known ones only."""

    def position(self, rules: InstrumentRules) -> Decimal:
        """Signed, base units."""

    def balance(self) -> Decimal:
        """The account's wallet balance in quote units."""

    def quote(self, rules: InstrumentRules) -> Quote: ...

    def rules(self, instrument: str) -> InstrumentRules | None:
        """The venue's filters; None for an instrument it does not trade. Raises when it is not set up as required."""

    def time_offset(self) -> int:
        """Venue time minus wall time in ns, measured now; later requests are signed with it."""

    def time_here(self, now: int) -> int:
        """The venue's time at a wall time, by the last measured offset."""


# --- the rest


class Standings(Protocol):
    def standing(self, bundle_digest: str) -> ModelStanding: ...


class Announcement(Protocol):
    def sessions(self) -> dict[str, str]:
        """The session in play by instrument; empty where nothing is announced or played. Raises VenueUnavailable."""


class TopicUnavailable(Exception):
    """The topic cannot be read or written now; it is waited for."""


class Publisher(Protocol):
    def publish(self, account: str, events: Sequence[tuple[int, bytes]]) -> int:
        """Send in order and wait for every answer; the last sequence acknowledged without a hole before it.

        Raises TopicUnavailable while some are still on their way. They may land at any time and are never sent a
        second time: call again with the same events to go on waiting for them.
        """

    def last_sequence(self, account: str) -> int | None:
        """The greatest sequence on the topic, as far back as it is worth looking; None: not found there.

        Raises TopicUnavailable.
        """


class Alerts(Protocol):
    def alert(self, code: str, message: str, *, critical: bool) -> None:
        """Tell people; never raises and never blocks for long."""


class Observer(Protocol):
    """Whoever counts: metrics in the product, a list in tests."""

    def decided(self, decision: Decision) -> None: ...

    def ordered(self, order: Order) -> None: ...

    def filled(self, order: Order | None, fill: Fill) -> None: ...

    def held(self, held: Held) -> None: ...

    def valued(self, equity: Decimal | None, realised: Decimal) -> None: ...

    def drawn_down(self, share: float) -> None:
        """Loss from the highest equity, as a share of it."""

    def open_orders(self, number: int, in_doubt: int) -> None: ...

    def differed(self, kind: str) -> None:
        """Venue and journal differ."""

    def leads(self, holds_lease: bool) -> None: ...

    def heard(self, wall_ns: int) -> None:
        """A prediction is decided on."""

    def state(self, state: TradingState) -> None: ...

    def hop(self, name: str, ns: int) -> None: ...
