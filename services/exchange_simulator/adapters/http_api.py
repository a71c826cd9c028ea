"""REST: paths, signatures, rate limits, envelopes, and the faults that happen on the way back."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import msgspec
from aiohttp import web

from libs.runtime import metrics
from services.exchange_simulator.adapters.faults import Faults, Kind
from services.exchange_simulator.adapters.market_api import MarketApi
from services.exchange_simulator.adapters.requests import BadParameter, Params
from services.exchange_simulator.adapters.signing import who_signed
from services.exchange_simulator.adapters.streams import Streams
from services.exchange_simulator.adapters.trading_api import TradingApi
from services.exchange_simulator.domain import orders
from services.exchange_simulator.domain.orders import Refused

MS = 1_000_000
WINDOW_MS = 1000
Json = dict[str, object]
Public = Callable[[Params], Json]
Private = Callable[[str, Params], Json | Refused]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Requests a second for each key: to make an order, to cancel, and for everything else, each on its own."""

    create: int = 10
    cancel: int = 10
    other: int = 50


class Budget:
    """A sliding second of requests by key and kind."""

    def __init__(self, limits: Limits) -> None:
        self._limits = {"create": limits.create, "cancel": limits.cancel, "other": limits.other}
        self._seen: dict[tuple[str, str], deque[int]] = defaultdict(deque)

    def spend(self, key: str, path: str, now_ms: int) -> tuple[bool, dict[str, str]]:
        """Whether the request is within its budget, and the headers that say how it stands."""
        kind = {"/v5/order/create": "create", "/v5/order/cancel": "cancel", "/v5/order/cancel-all": "cancel"}.get(
            path, "other"
        )
        limit, seen = self._limits[kind], self._seen[key, kind]
        while seen and seen[0] <= now_ms - WINDOW_MS:
            seen.popleft()
        within = len(seen) < limit
        if within:
            seen.append(now_ms)
        reset = now_ms if within else seen[0] + WINDOW_MS
        return within, {
            "X-Bapi-Limit": str(limit),
            "X-Bapi-Limit-Status": str(limit - len(seen)),
            "X-Bapi-Limit-Reset-Timestamp": str(reset),
        }


class HttpApi:
    """Answers in the envelope `retCode retMsg result retExtInfo time`; `time` is wall time in ms."""

    def __init__(
        self, market: MarketApi, trading: TradingApi, streams: Streams, faults: Faults, secrets: Mapping[str, str],
        limits: Limits, now_ns: Callable[[], int],
    ) -> None:  # fmt: skip
        self._market, self._trading, self._streams, self._faults = market, trading, streams, faults
        self._secrets, self._budget, self._now_ns = secrets, Budget(limits), now_ns

    def add_to(self, app: web.Application) -> None:
        market, trading = self._market, self._trading
        public: dict[str, Public] = {
            "time": market.time, "instruments-info": market.instruments, "orderbook": market.orderbook,
            "tickers": market.tickers, "recent-trade": market.trades, "kline": market.klines,
        }  # fmt: skip
        reads: dict[str, Private] = {
            "order/realtime": trading.open_orders, "order/history": trading.order_history,
            "execution/list": trading.executions, "position/list": trading.positions,
            "account/wallet-balance": trading.wallet, "account/fee-rate": trading.fee_rate,
            "account/info": trading.account_info, "user/query-api": trading.key_info,
            "asset/coin/query-info": trading.coins,
        }  # fmt: skip
        writes: dict[str, Private] = {
            "order/create": trading.create, "order/cancel": trading.cancel, "order/cancel-all": trading.cancel_all,
            "position/set-leverage": trading.set_leverage, "position/switch-mode": trading.switch_mode,
        }  # fmt: skip
        app.router.add_get("/v3/public/time", self._public(market.time))
        for path, read in public.items():
            app.router.add_get(f"/v5/market/{path}", self._public(read))
        for path, act in reads.items():
            app.router.add_get(f"/v5/{path}", self._private(act))
        for path, act in writes.items():
            app.router.add_post(f"/v5/{path}", self._private(act))

    def _public(self, answer: Public) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return self._envelope(answer(dict(request.query)))
            except BadParameter as error:
                return self._envelope(error.refused)

        return handle

    def _private(self, act: Private) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            body = await request.read()
            answer, headers = self._act(request, body, act)
            code = answer.code if isinstance(answer, Refused) else 0
            metrics.counter("exchange_simulator_answers_total").labels(request.path, code).inc()
            if any(listener.waiting for listener in self._streams.listeners.values()):
                asyncio.get_running_loop().call_soon(lambda: asyncio.ensure_future(self._streams.drain()))
            return await self._answer(request, answer, headers)

        return handle

    def _act(self, request: web.Request, body: bytes, act: Private) -> tuple[Json | Refused, dict[str, str]]:
        now_ms = self._now_ns() // MS
        is_read = request.method == "GET"
        signed = request.rel_url.raw_query_string if is_read else body.decode("utf-8", "replace")
        key = who_signed(request.headers, signed, self._secrets, now_ms)
        if isinstance(key, Refused):
            return key, {}
        within, headers = self._budget.spend(key, request.path, now_ms)
        if not within:
            return Refused(orders.TOO_MANY_VISITS, "Too many visits. Exceeded the API Rate Limit."), headers
        try:
            params: Params = (
                dict(request.query) if is_read else msgspec.json.decode(body or b"{}", type=dict[str, object])
            )
            return act(key, params), headers
        except BadParameter as error:
            return error.refused, headers
        except msgspec.MsgspecError:
            return Refused(orders.BAD_PARAMETER, "params error: the body is not a JSON object"), headers

    async def _answer(
        self, request: web.Request, answer: Json | Refused, headers: dict[str, str]
    ) -> web.StreamResponse:
        """The envelope, unless a fault was asked for."""
        delay = self._faults.take(Kind.DELAY_ANSWER, request.path)
        if delay is not None:
            await asyncio.sleep(delay.seconds)
        if self._faults.take(Kind.DROP_AFTER_ACCEPT, request.path):
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("a fault was asked for")
        if self._faults.take(Kind.ERROR_AFTER_ACCEPT, request.path):
            return web.Response(status=502, text="Bad Gateway")
        return self._envelope(answer, headers)

    def _envelope(self, answer: Json | Refused, headers: dict[str, str] | None = None) -> web.Response:
        refused = isinstance(answer, Refused)
        body = {
            "retCode": answer.code if isinstance(answer, Refused) else 0,
            "retMsg": answer.message if isinstance(answer, Refused) else "OK",
            "result": {} if refused else answer,
            "retExtInfo": {},
            "time": self._now_ns() // MS,
        }
        return web.Response(body=msgspec.json.encode(body), content_type="application/json", headers=headers)
