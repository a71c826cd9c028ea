"""A router's world in memory: the real journal on SQLite, a fake venue, and crashes at any chosen step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine

from libs.trading.decisions import Decision
from libs.trading.instrument import InstrumentRules
from libs.trading.orders import Fill, Order
from libs.trading.risk import ModelStanding, TradingState
from services.order_routing.adapters.journal import SqlJournal
from services.order_routing.adapters.schema import migrate, open_database
from services.order_routing.domain import Held, Policy
from services.order_routing.handlers.doubt import Patience
from services.order_routing.handlers.router import Router, World
from services.order_routing.ports import Entry, Lease, SubmitOutcome
from tests.builders.orders import INSTRUMENT, RULES, START, TRUSTED, a_policy, a_quote
from tests.fakes.paper_venue import FakeClock, PaperVenueInMemory

LEASE = 3_000_000_000


class Crash(BaseException):
    """The process is gone; no handler of the product may catch it."""


class OneStanding:
    """Every bundle has the same verdicts."""

    def __init__(self, standing: ModelStanding = TRUSTED) -> None:
        self.given = standing

    def standing(self, bundle_digest: str) -> ModelStanding:
        return self.given


@dataclass
class Told:
    """Alerts and observations, in order."""

    alerts: list[tuple[str, str, bool]] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    ordered_orders: list[Order] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    hops: list[tuple[str, int]] = field(default_factory=list)
    states: list[TradingState] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    leading: list[bool] = field(default_factory=list)
    open_now: tuple[int, int] = (0, 0)

    def alert(self, code: str, message: str, *, critical: bool) -> None:
        self.alerts.append((code, message, critical))

    def decided(self, decision: Decision) -> None:
        self.decisions.append(decision)

    def ordered(self, order: Order) -> None:
        self.ordered_orders.append(order)

    def filled(self, order: Order | None, fill: Fill) -> None:
        self.fills.append(fill)

    def held(self, held: Held) -> None: ...

    def valued(self, equity: Any, realised: Any) -> None: ...

    def drawn_down(self, share: float) -> None: ...

    def open_orders(self, number: int, in_doubt: int) -> None:
        self.open_now = (number, in_doubt)

    def differed(self, kind: str) -> None:
        self.differences.append(kind)

    def leads(self, holds_lease: bool) -> None:
        self.leading.append(holds_lease)

    def heard(self, wall_ns: int) -> None: ...

    def state(self, state: TradingState) -> None:
        self.states.append(state)

    def hop(self, name: str, ns: int) -> None:
        self.hops.append((name, ns))


class CrashingJournal(SqlJournal):
    """The real journal; `crash(step)` decides whether the process dies before or after a commit."""

    def __init__(self, engine: Engine, crash: Callable[[str], bool]) -> None:
        super().__init__(engine)
        self._crash = crash

    def commit(self, entry: Entry, lease: Lease) -> None:
        if self._crash("before commit"):
            raise Crash("before commit")
        super().commit(entry, lease)
        if self._crash("after commit"):
            raise Crash("after commit")


class CrashingVenue:
    """A venue seen by a process that may die before it sends, before it hears, or before it journals the answer."""

    def __init__(self, venue: PaperVenueInMemory, crash: Callable[[str], bool]) -> None:
        self._venue = venue
        self._crash = crash

    def __getattr__(self, name: str) -> Any:
        return getattr(self._venue, name)

    def submit(self, order: Order, rules: InstrumentRules, written: Callable[[], None]) -> SubmitOutcome:
        if self._crash("before send"):
            raise Crash("before send")
        outcome = self._venue.submit(order, rules, written)
        if self._crash("after answer"):
            raise Crash("after answer")
        return outcome


class RouterWorld:
    """Starts routers on one journal and one venue; a new one stands for a restarted process."""

    def __init__(
        self,
        venue: PaperVenueInMemory | None = None,
        *,
        policy: Policy | None = None,
        crash: Callable[[str], bool] = lambda _step: False,
        url: str = "sqlite://",
        standing: ModelStanding = TRUSTED,
    ) -> None:
        self.clock = venue.clock if venue is not None else FakeClock(START)
        self.venue = venue or PaperVenueInMemory(self.clock, a_quote(), RULES)
        self.engine = open_database(url)
        migrate(self.engine)
        self.journal = CrashingJournal(self.engine, crash)
        self.policy = policy or a_policy()
        self.told = Told()
        self.standing = OneStanding(standing)
        self.crash = crash
        self.starts = 0

    def start(self) -> Router:
        """What a process does at start, up to acting: lease, waiting, journal. The caller calls `begin`."""
        self.starts += 1
        holder = f"router-{self.starts}"
        lease = None
        while lease is None:
            lease = self.journal.acquire(self.policy.account, holder, self.clock(), LEASE)
            if lease is None:
                self.clock.advance(LEASE // 3)
        venue: Any = CrashingVenue(self.venue, self.crash)
        world = World(self.journal, venue, self.standing, self.told, self.told, self.clock)
        router = Router(world, lease, self.policy, Patience(), {INSTRUMENT: RULES})
        if self.clock.now < router.may_act_at():
            self.clock.advance(router.may_act_at() - self.clock.now)
        self.keep(router)
        return router

    def keep(self, router: Router) -> None:
        """Renew the lease, as the lease task does."""
        router.account.renew(self.journal.renew(router.account.lease, self.clock(), LEASE))

    def started(self) -> Router:
        router = self.start()
        router.begin()
        return router
