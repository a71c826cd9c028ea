"""The installed platform as the cases use it: what it does now, orders by hand, rest, and the audit of all accounts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.cluster.accounts import Accounts, Offsets, behind
from tests.cluster.cluster import Cluster
from tests.cluster.release import EVERYTHING, Release, grpc_json
from tests.cluster.waiting import NotYet, check, insisted, until
from tests.e2e.audit import Report, join, marked_topics

GRPC = 50051
ROUTING = "orders.v1.OrderRoutingService"
SERVING = "predictions.v1.ModelServingService"
FEATURES = "features.v1.FeatureStoreService"
QUIET_S = 5.0  # nothing moves for so long: more than the archive's roll and the router's reconciliation
REST_S = 120.0
READ_S = 180.0  # of a topic or of the archive, over connections that may break
READY_S = 240.0  # a pod that was killed, restarted or upgraded, on two cores
MOVING = ("features.vectors", "predictions", "orders.events")


@dataclass(slots=True)
class Platform:
    """`say` prints one line of progress; `spare` makes a release beside this one, in a namespace of its own."""

    cluster: Cluster
    release: Release
    accounts: Accounts
    say: Callable[[str], None]
    argo: bool
    spare: Callable[[str, Mapping[str, Any]], Release]
    wanted: dict[str, int] = field(default_factory=lambda: dict(EVERYTHING))

    # --- asking

    def rpc(self, component: str, method: str, body: Mapping[str, Any] | None = None) -> Any:
        """One rpc by grpcurl, tried again while the way to a new pod heals."""
        return until(
            f"{component} {method}", lambda: grpc_json(self.accounts.reach(component, GRPC), method, body), 60.0
        )

    def models(self) -> Any:
        return self.rpc("model-serving", f"{SERVING}/DescribeModels")

    def champion(self) -> int | None:
        """The version that serves as champion now."""
        served = {one["role"]: int(one["version"]) for one in self.models().get("models", [])}
        return served.get("ROLE_CHAMPION")

    def orders(self) -> dict[str, str]:
        """Every order in the journal: state by client order id."""
        return dict(self.accounts.journal.execute("select client_order_id, state from orders"))

    def fills(self) -> int:
        return self.accounts.journal.count("executions")

    # --- waiting

    def ready(self, seconds: float = READY_S) -> float:
        """Until every pod is there and ready; returns the seconds it took."""
        began = time.monotonic()
        self.cluster.wait_for_pods(self.wanted, seconds)
        return time.monotonic() - began

    def wait_for_fills(self, more: int, seconds: float) -> None:
        """Until the journal has `more` fills than now."""
        wanted = until("the journal", self.fills, 60.0) + more

        def look() -> bool | NotYet:
            now = self.fills()
            return True if now >= wanted else NotYet(f"{now} fills, {self.why_quiet()}")

        until(f"{wanted} fills", look, seconds, pause=2.0)

    def wait_for_flow(self, seconds: float) -> None:
        """Until new vectors, predictions and order events appear."""
        before = until("the log", self.accounts.ends, 60.0)

        def look() -> bool | NotYet:
            now = self.accounts.ends()
            still = [name for name in MOVING if total(now, name) <= total(before, name)]
            return NotYet(f"nothing new in {', '.join(still)}; {self.why_quiet()}") if still else True

        until("new vectors, predictions and order events", look, seconds, pause=2.0)

    def why_quiet(self) -> str:
        """What a person would look at when nothing moves."""
        pods = [pod.described for pod in self.cluster.pods() if not pod.ready]
        session = self.accounts.session()
        return f"the venue is {session.state}" + (f"; {'; '.join(pods)}" if pods else "")

    # --- the source of events

    def stop_market(self) -> None:
        """No new event comes in: ingestion has no pod."""
        self.cluster.scale(f"deployment/{self.release.name}-data-ingestion", 0)
        self.cluster.wait_for_pods(self.wanted | {"data-ingestion": 0}, READY_S)

    def go_on(self) -> None:
        """Undo what a case may have left: every component's own number of pods, trading on."""
        for component in ("data-ingestion", "order-routing"):
            self.cluster.scale(f"deployment/{self.release.name}-{component}", 1)
        for component in ("feature-store", "model-serving"):
            self.cluster.scale(f"statefulset/{self.release.name}-{component}", self.wanted[component])
        self.ready()
        state = self.rpc("order-routing", f"{ROUTING}/GetRiskState")
        if state.get("state") != "TRADING_STATE_ACTIVE":
            self.say(f"trading was {state.get('state')}: {state.get('state_reason')}; set ACTIVE again")
            wish = {"state": "TRADING_STATE_ACTIVE", "by": "cluster-test", "reason": "the next case"}
            self.rpc("order-routing", f"{ROUTING}/SetTradingState", wish)

    # --- the audit

    def bring_to_rest(self) -> None:
        """Stop the market and wait until all that came in is decided, told and archived."""
        self.stop_market()
        seen: list[tuple[float, Offsets]] = []

        def look() -> bool | NotYet:
            ends, now = self.accounts.ends(), time.monotonic()
            if not seen or seen[-1][1] != ends:
                seen.append((now, ends))
            late = behind(self.accounts.archived(), ends)
            if late:
                return NotYet(f"the archive: {', '.join(late[:3])}")
            unread = behind(self._read_by_router(), {at: n for at, n in ends.items() if at[0] == "predictions"})
            if unread:
                return NotYet(f"the router: {', '.join(unread[:3])}")
            doubtful = [name for name, state in self.orders().items() if state in UNSETTLED]
            if doubtful:
                return NotYet(f"orders without an answer: {doubtful[:3]}")
            quiet = now - seen[-1][0]
            return True if quiet >= QUIET_S else NotYet(f"the log is quiet for {quiet:.0f} s")

        until("the platform at rest", look, REST_S)

    def _read_by_router(self) -> Offsets:
        rows = self.accounts.journal.execute("select topic, partition, next_offset from input_offsets")
        prefix = self.accounts.kafka.topic_prefix
        return {(topic.removeprefix(prefix), partition): offset for topic, partition, offset in rows}

    def audit(self) -> tuple[Report, dict[str, Any]]:
        """Everything compared by id, at rest. Raises Failed with the first differences; returns the topics as read."""
        self.say("coming to rest")
        self.bring_to_rest()
        self.say("joining venue, journal, topics and archive by id")
        names = [row["name"] for row in marked_topics()]
        topics = {name: insisted(f"topic {name}", partial(self.accounts.topic, name), READ_S) for name in names}
        archive = insisted("the archive's files", self.accounts.archive_copy, READ_S)
        report = insisted("the join", lambda: join(topics, archive, self.accounts.journal, self.accounts.venue()))
        check(
            not report.differences,
            f"{len(report.differences)} differences: {'; '.join(report.differences[:5])}",
        )
        return report, topics


UNSETTLED = ("RECORDED", "SENT", "IN_DOUBT", "CANCEL_PENDING")


def total(ends: Offsets, topic: str) -> int:
    return sum(end for (name, _), end in ends.items() if name == topic)


def audited(report: Report) -> str:
    """One line of what was compared."""
    picked = {
        "market records": "market records",
        "vectors by id": "vectors",
        "predictions by id": "predictions",
        "decisions": "decisions",
        "orders at the venue": "orders",
        "fills at the venue": "fills",
    }
    counts = ", ".join(f"{report.compared.get(key, 0):,} {name}" for key, name in picked.items())
    return f"audit: {counts}; 0 differences"
