"""The venue over Bybit v5 REST: one signed request per order, questions with overlap, one clock offset."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any, ParamSpec, TypeVar
from urllib.parse import urlencode

import httpx
import msgspec

from libs.trading.instrument import InstrumentRules
from libs.trading.market import Quote
from libs.trading.orders import Fill, Order
from services.order_routing.adapters.bybit_messages import (
    MS,
    UnknownMessage,
    amount_of,
    cancel_outcome,
    create_body,
    decimal_of,
    fill_of,
    report_of,
    rules_of,
    submit_outcome,
    venue_order_of,
)
from services.order_routing.adapters.bybit_signing import Credentials, signed_headers
from services.order_routing.adapters.order_line import NoAnswer, NothingSent, OrderLine
from services.order_routing.ports import (
    CancelOutcome,
    Clock,
    NotTaken,
    Sighting,
    SubmitOutcome,
    Unclear,
    VenueOrder,
    VenueUnavailable,
)

P = ParamSpec("P")
T = TypeVar("T")

PAGE = 100
WARM_S = 2.0
RECEIVE_WINDOW_MS = 2_000


class BybitVenue:
    """Implements ports.Venue for one category. Submit and cancel never raise; questions raise VenueUnavailable."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        clock: Clock,
        category: str = "linear",
        account: str = "",
        receive_window_ms: int = RECEIVE_WINDOW_MS,
        timeout_s: float = 2.0,
    ) -> None:
        limits = httpx.Limits(max_keepalive_connections=8, keepalive_expiry=60.0)
        self._http = httpx.Client(base_url=url, timeout=timeout_s, limits=limits, trust_env=False)
        self._orders, self._actions = OrderLine(url, timeout_s), OrderLine(url, timeout_s)
        self._credentials = credentials
        self._clock = clock
        self._category = category
        self._account = account
        self._window = receive_window_ms
        self._offset = 0

    def close(self) -> None:
        for line in (self._http, self._orders, self._actions):
            line.close()

    # --- orders

    def submit(self, order: Order, rules: InstrumentRules, written: Callable[[], None]) -> SubmitOutcome:
        body = create_body(order, rules, self._category)
        answer = self._post(self._orders, "/v5/order/create", body, order.recorded_time, written)
        if not isinstance(answer, tuple):
            return answer
        code, message, result, reset_ms = answer
        return submit_outcome(code, message, result, reset_ms)

    def cancel(self, order: Order, rules: InstrumentRules, now: int) -> CancelOutcome:
        body = {"category": self._category, "symbol": rules.symbol, "orderLinkId": order.client_order_id}
        if not order.client_order_id:
            body = {"category": self._category, "symbol": rules.symbol, "orderId": order.venue_order_id}
        return self._cancel("/v5/order/cancel", body, now)

    def cancel_all(self, rules: InstrumentRules, now: int) -> CancelOutcome:
        return self._cancel("/v5/order/cancel-all", {"category": self._category, "symbol": rules.symbol}, now)

    def _cancel(self, path: str, body: dict[str, Any], now: int) -> CancelOutcome:
        answer = self._post(self._actions, path, body, now, lambda: None)
        if not isinstance(answer, tuple):
            return answer
        code, message, _, reset_ms = answer
        return cancel_outcome(code, message, reset_ms)

    def _post(
        self, line: OrderLine, path: str, body: dict[str, Any], at: int, written: Callable[[], None]
    ) -> tuple[int, str, dict[str, Any], int | None] | NotTaken | Unclear:
        payload = msgspec.json.encode(body)
        stamp = (at + self._offset) // MS
        headers = signed_headers(self._credentials, stamp, self._window, payload.decode())
        try:
            response = line.send("POST", path, payload, headers, written)
        except NothingSent as error:
            return NotTaken(f"no connection to the venue, nothing was sent: {error}")
        except NoAnswer as error:
            return Unclear(str(error))
        if response.status == 403:
            return NotTaken("HTTP 403: banned", halt=True)
        try:
            answer = msgspec.json.decode(response.content)
            code, said, result = int(answer["retCode"]), str(answer["retMsg"]), answer.get("result") or {}
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            return Unclear(f"HTTP {response.status} without an answer")
        if response.status >= 500:
            return Unclear(f"HTTP {response.status}, {code}: {said}")
        reset = response.headers.get("x-bapi-limit-reset-timestamp", "")
        return code, said, result, int(reset) if reset.isdigit() else None

    # --- questions

    def look(self, order: Order, rules: InstrumentRules) -> Sighting:
        asked = {"category": self._category, "symbol": rules.symbol, "orderLinkId": order.client_order_id}
        fills = self._fills(self._pages("/v5/execution/list", asked | {"limit": PAGE}), rules.instrument)
        rows = [
            row
            for path in ("/v5/order/realtime", "/v5/order/history")
            for row in self._get(path, asked).get("list", [])
            if row.get("orderLinkId") == order.client_order_id
        ]
        reports = [_read(report_of, row) for row in rows]
        newest = max(reports, key=lambda report: (report.status.value > 1, report.cumulative_quantity), default=None)
        return Sighting(newest, tuple(fill for fill in fills if fill.client_order_id == order.client_order_id))

    def open_orders(self, rules: InstrumentRules) -> Sequence[VenueOrder]:
        asked = {"category": self._category, "symbol": rules.symbol, "openOnly": 0, "limit": 50}
        now = self._clock()
        found = []
        for page in self._pages("/v5/order/realtime", asked):
            for row in page:
                listed = _read(venue_order_of, row, rules.instrument, self._account, now)
                if listed.report.status.value == 1:
                    found.append(listed)
        return found

    def executions(self, rules: InstrumentRules, known: Collection[str]) -> Sequence[Fill]:
        asked = {"category": self._category, "symbol": rules.symbol, "limit": PAGE}
        new: list[Fill] = []
        for page in self._pages("/v5/execution/list", asked):
            fills = self._fills([page], rules.instrument)
            missing = [fill for fill in fills if fill.execution_id not in known]
            new += missing
            if fills and not missing:
                break
        return sorted(new, key=lambda fill: fill.time)

    def position(self, rules: InstrumentRules) -> Decimal:
        rows = self._get("/v5/position/list", {"category": self._category, "symbol": rules.symbol}).get("list", [])
        total = Decimal(0)
        for row in rows:
            if int(row.get("positionIdx", 0)) != 0:
                raise VenueUnavailable(f"{rules.symbol} is in hedge mode; this router trades one-way positions only")
            size = _read(amount_of, row, "size")
            total += -size if row.get("side") == "Sell" else size
        return total

    def balance(self) -> Decimal:
        rows = self._get("/v5/account/wallet-balance", {"accountType": "UNIFIED"}).get("list", [])
        if not rows:
            raise VenueUnavailable("the venue shows no wallet")
        return _read(decimal_of, rows[0], "totalWalletBalance")

    def quote(self, rules: InstrumentRules) -> Quote:
        rows = self._get("/v5/market/tickers", {"category": self._category, "symbol": rules.symbol}).get("list", [])
        if not rows:
            raise VenueUnavailable(f"the venue has no ticker of {rules.symbol}")
        row = rows[0]
        names = ("bid1Price", "bid1Size", "ask1Price", "ask1Size")
        bid, bid_size, ask, ask_size = (float(_read(decimal_of, row, name)) for name in names)
        if not 0 < bid < ask:
            raise VenueUnavailable(f"the venue quotes {rules.symbol} at {bid} / {ask}")
        return Quote(bid, bid_size, ask, ask_size)

    def rules(self, instrument: str) -> InstrumentRules | None:
        symbol = instrument.rsplit(".", 1)[-1]
        asked = {"category": self._category, "symbol": symbol}
        rows = self._get("/v5/market/instruments-info", asked).get("list", [])
        row = next((row for row in rows if row.get("symbol") == symbol), None)
        return None if row is None else _read(rules_of, row, instrument)

    def time_offset(self) -> int:
        before = self._clock()
        result = self._get("/v5/market/time", {}, signed=False)
        after = self._clock()
        venue = int(result["timeNano"]) if result.get("timeNano") else int(result["timeSecond"]) * 1_000_000_000
        self._offset = venue - (before + after) // 2
        return self._offset

    def time_here(self, now: int) -> int:
        return now + self._offset

    def keep_warm(self, stop: threading.Event) -> None:
        """Keep the orders' connection open, so that an order pays for no handshake."""
        while not stop.is_set():
            with suppress(NothingSent, NoAnswer):
                self._orders.send("GET", "/v5/market/time")
            stop.wait(WARM_S)

    # --- asking

    def _get(self, path: str, asked: dict[str, Any], *, signed: bool = True) -> dict[str, Any]:
        query = urlencode(asked)
        stamp = (self._clock() + self._offset) // MS
        headers = signed_headers(self._credentials, stamp, self._window, query) if signed else {}
        try:
            response = self._http.get(f"{path}?{query}" if query else path, headers=headers)
            answer = json.loads(response.content)
            code = int(answer["retCode"])
        except httpx.HTTPError as error:
            raise VenueUnavailable(f"{path}: {type(error).__name__}: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise VenueUnavailable(f"{path}: HTTP {response.status_code} without an answer") from error
        if code != 0 or response.status_code != 200:
            raise VenueUnavailable(f"{path}: HTTP {response.status_code}, {code}: {answer.get('retMsg')}")
        result: dict[str, Any] = answer.get("result") or {}
        return result

    def _pages(self, path: str, asked: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
        cursor = ""
        while True:
            result = self._get(path, asked | ({"cursor": cursor} if cursor else {}))
            page: list[dict[str, Any]] = result.get("list", [])
            yield page
            following = str(result.get("nextPageCursor") or "")
            if not following or following == cursor or not page:
                return
            cursor = following

    @staticmethod
    def _fills(pages: Iterable[list[dict[str, Any]]], instrument: str) -> list[Fill]:
        fills = (_read(fill_of, row, instrument) for page in pages for row in page)
        return [fill for fill in fills if fill is not None]


def _read(read: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    try:
        return read(*args, **named)
    except UnknownMessage as error:
        raise VenueUnavailable(f"the venue said something unknown: {error}") from error
