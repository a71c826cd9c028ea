"""An upgrade and a roll-back while orders rest at the venue: known before and after, none doubled, none sent again."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Decimal
from typing import Any

import httpx

from tests.cluster.case_faults import FLOW_S
from tests.cluster.platform import ROUTING, Platform, audited
from tests.cluster.waiting import NotYet, check, until

JOBS = ("topics", "migrate")
FAR = Decimal("0.9")  # of the best bid: an order that rests
RESTING = 2
ROLL_S = 300.0
SMALLEST_NOTIONAL = Decimal(100)
# What the upgrade changes: every service but the venue gets a new pod, and the router a setting that means something.
CHANGED: Mapping[str, Any] = {
    "account": {"unitNotional": 900},
    "dataIngestion": {"settings": {"LOG_LEVEL": "WARNING"}},
    "featureStore": {"settings": {"LOG_LEVEL": "WARNING"}},
    "modelServing": {"settings": {"LOG_LEVEL": "WARNING"}},
    "archive": {"settings": {"LOG_LEVEL": "WARNING"}},
}
ROLLED = ("data-ingestion", "feature-store", "model-serving", "order-routing", "archive")


def upgrade(platform: Platform) -> list[str]:
    """Resting orders live through `helm upgrade` and `helm rollback`; then the audit."""
    platform.wait_for_flow(FLOW_S)
    resting = [_rest(platform, number) for number in range(RESTING)]
    before, first = platform.orders(), platform.release.revision
    told = [f"{len(before)} orders known, {RESTING} of them resting at the venue"]
    told.append(_rolled(platform, "upgrade", first + 1, lambda: platform.release.upgrade(CHANGED)))
    _same(platform, "the upgrade", before, resting)
    config = platform.cluster.get("configmap", f"{platform.release.name}-order-routing")["data"]
    check(config["ORDER_ROUTING_UNIT_NOTIONAL"] == "900", "the new setting did not arrive")
    between = platform.orders()
    # What was rendered for the first revision comes back, its Jobs under their own names too.
    told.append(_rolled(platform, "rollback", first, lambda: platform.release.roll_back(first)))
    _same(platform, "the roll-back", between, resting)
    for one in resting:
        platform.rpc("order-routing", f"{ROUTING}/CancelOrder", {"client_order_id": one["client_order_id"]})
    until("both orders cancelled", lambda: _cancelled(platform, resting), 30.0)
    platform.wait_for_fills(1, FLOW_S)
    report, _ = platform.audit()
    return [*told, "the same orders at the venue and in the journal after both, one id each", audited(report)]


def _rest(platform: Platform, number: int) -> dict[str, Any]:
    """A small buy far below the market, accepted and open at the venue."""
    address = platform.accounts.reach("exchange-simulator", 8080)
    session = platform.accounts.session()
    query = f"category=linear&symbol={session.symbol}"

    def asked(path: str) -> Any:
        return httpx.get(f"http://{address}/v5/market/{path}?{query}", timeout=10).json()["result"]["list"][0]

    rules = until("the venue's rules", lambda: asked("instruments-info"), 30.0)
    bid = Decimal(until("the venue's quote", lambda: asked("tickers"), 30.0)["bid1Price"])
    price, quantity = far_order(rules, bid, number)
    wish = {
        "client_order_id": f"cluster-test-{secrets.token_hex(6)}",
        "instrument": session.instrument,
        "side": "SIDE_BUY",
        "price": str(price),
        "quantity": str(quantity),
        "time_in_force": "TIME_IN_FORCE_GTC",
    }
    said = platform.rpc("order-routing", f"{ROUTING}/SubmitOrder", wish)
    check("order" in said, f"the router denied an order by hand: {said.get('denied')}")
    name = {"client_order_id": wish["client_order_id"]}

    def look() -> dict[str, Any] | NotYet:
        order: dict[str, Any] = platform.rpc("order-routing", f"{ROUTING}/GetOrder", name)["order"]
        return order if order["state"] == "ORDER_STATE_OPEN" else NotYet(f"{order['state']} {order.get('reason', '')}")

    return until("an order that rests", look, 30.0)


def far_order(rules: Mapping[str, Any], bid: Decimal, number: int) -> tuple[Decimal, Decimal]:
    """Price and quantity of the smallest order that is worth something, `number` ticks apart from the others."""
    tick = Decimal(rules["priceFilter"]["tickSize"])
    lot = Decimal(rules["lotSizeFilter"]["qtyStep"])
    price = (bid * FAR // tick - number) * tick
    lots = (SMALLEST_NOTIONAL / (price * lot)).to_integral_value(ROUND_CEILING)
    quantity = max(Decimal(rules["lotSizeFilter"]["minOrderQty"]), lots * lot)
    return price, quantity


def _rolled(platform: Platform, what: str, rendered: int, act: Callable[[], None]) -> str:
    """Acts; then every changed service has a new pod, all are ready, and the Jobs of the revision that was rendered
    are done."""
    old = {pod.component: pod.uid for pod in platform.cluster.pods() if pod.component in ROLLED}
    began = time.monotonic()
    act()

    def look() -> bool | NotYet:
        kept = sorted({pod.component for pod in platform.cluster.pods() if pod.uid in old.values()})
        return NotYet(f"still the old pod of {', '.join(kept)}") if kept else True

    until("new pods", look, ROLL_S)
    platform.ready(ROLL_S)
    for job in JOBS:
        platform.cluster.wait_for_job(f"{platform.release.name}-{job}-r{rendered}", ROLL_S)
    platform.wait_for_flow(FLOW_S)
    took = time.monotonic() - began
    line = f"{what} (rendered for revision {rendered}): {len(ROLLED)} services anew and ready after {took:.0f} s"
    platform.say(line)
    return line


def _same(platform: Platform, after: str, before: Mapping[str, str], resting: list[dict[str, Any]]) -> None:
    """Every order of before is still known, and those that rest are at the venue once, under the same ids."""
    now = platform.orders()
    gone = sorted(set(before) - set(now))
    check(not gone, f"after {after} the journal no longer knows {gone[:3]}")
    there = [row for row in platform.accounts.venue().orders() if row["orderStatus"] == "New"]
    for one in resting:
        name = one["client_order_id"]
        check(now[name] == "OPEN", f"after {after} order {name} is {now[name]} in the journal")
        mine = [row["orderId"] for row in there if row["orderLinkId"] == name]
        check(mine == [one["venue_order_id"]], f"after {after} the venue has order {name} as {mine}")
    strange = [row["orderLinkId"] for row in there if row["orderLinkId"] not in now]
    check(not strange, f"after {after} the venue has open orders that the journal does not know: {strange}")


def _cancelled(platform: Platform, resting: list[dict[str, Any]]) -> bool | NotYet:
    states = {name: platform.orders()[name] for name in (one["client_order_id"] for one in resting)}
    return True if set(states.values()) == {"CANCELLED"} else NotYet(str(states))
