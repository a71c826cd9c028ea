"""Public REST answers about the market."""

from __future__ import annotations

from collections.abc import Callable

from services.exchange_simulator.adapters.public_frames import SIDES, PublicFrames
from services.exchange_simulator.adapters.requests import BadParameter, Params, whole
from services.exchange_simulator.adapters.text import NS_PER_MS, Steps, fixed, plain
from services.exchange_simulator.domain.instrument import CATEGORY
from services.exchange_simulator.domain.tape import MINUTE_NS, MinuteBar
from services.exchange_simulator.ports import PaperVenue

Json = dict[str, object]
CATEGORIES = ("linear", "spot", "inverse", "option")
INTERVALS = {"1": 1, "3": 3, "5": 5, "15": 15, "30": 30, "60": 60, "120": 120, "240": 240, "360": 360, "720": 720}


class MarketApi:
    """What /v5/market answers. Books, trades and candles are in session time, `/v5/market/time` is wall time."""

    def __init__(self, venue: PaperVenue, frames: PublicFrames, now_ns: Callable[[], int]) -> None:
        instrument = venue.instrument
        self._venue, self._frames, self._now_ns = venue, frames, now_ns
        self._price = Steps(instrument.tick, instrument.price_decimals)
        self._size = Steps(instrument.lot, instrument.lot_decimals)

    def time(self, _: Params) -> Json:
        now = self._now_ns()
        return {"timeSecond": str(now // 1_000_000_000), "timeNano": str(now)}

    def instruments(self, params: Params) -> Json:
        listed = self._listed(params, optional=True)
        return {"category": params["category"], "list": [self._instrument()] if listed else [], "nextPageCursor": ""}

    def orderbook(self, params: Params) -> Json:
        self._listed(params)
        limit = whole(params, "limit", 25, 1, 500)
        book = self._venue.book()
        return {
            "s": self._venue.instrument.symbol,
            "b": self._levels(book.bids[:limit]),
            "a": self._levels(book.asks[:limit]),
            "ts": book.time_ns // NS_PER_MS,
            "u": book.update_id,
            "seq": book.sequence,
            "cts": book.time_ns // NS_PER_MS,
        }

    def tickers(self, params: Params) -> Json:
        ticker = self._venue.ticker() if self._listed(params, optional=True) else None
        if ticker is None:
            return {"category": params["category"], "list": []}
        extra = {"predictedDeliveryPrice": "", "basisRate": "", "deliveryFeeRate": "", "deliveryTime": "0", "basis": ""}
        return {"category": CATEGORY, "list": [{**self._frames.ticker(ticker), **extra}]}

    def trades(self, params: Params) -> Json:
        self._listed(params)
        limit = whole(params, "limit", 500, 1, 1000)
        rows = [
            {
                "execId": traded.trade_id,
                "symbol": self._venue.instrument.symbol,
                "price": self._price.text(traded.print.price),
                "size": self._size.text(traded.print.lots),
                "side": SIDES[traded.print.side],
                "time": str(traded.time_ns // NS_PER_MS),
                "isBlockTrade": False,
                "isRPITrade": False,
                "seq": str(traded.sequence),
            }
            for traded in list(self._venue.tape.recent)[-limit:]
        ]
        return {"category": CATEGORY, "list": rows[::-1]}

    def klines(self, params: Params) -> Json:
        self._listed(params)
        minutes = INTERVALS.get(str(params.get("interval", "")))
        if minutes is None:
            raise BadParameter("params error: interval invalid")
        limit = whole(params, "limit", 200, 1, 1000)
        start, end = (whole(params, name, default, 0, 10**15) for name, default in (("start", 0), ("end", 10**15)))
        merged: dict[int, list[MinuteBar]] = {}
        for bar in self._venue.tape.bars:
            opened = bar.open_ns - bar.open_ns % (minutes * MINUTE_NS)
            if start <= opened // NS_PER_MS <= end:
                merged.setdefault(opened, []).append(bar)
        rows = [self._candle(opened, bars) for opened, bars in sorted(merged.items(), reverse=True)[:limit]]
        return {"category": CATEGORY, "symbol": self._venue.instrument.symbol, "list": rows}

    def _candle(self, opened: int, bars: list[MinuteBar]) -> list[str]:
        text = self._price.text
        step = float(self._venue.instrument.tick * self._venue.instrument.lot)
        prices = (bars[0].open, max(bar.high for bar in bars), min(bar.low for bar in bars), bars[-1].close)
        turnover = fixed(sum(bar.turnover for bar in bars) * step, 4)
        return [str(opened // NS_PER_MS), *map(text, prices), self._size.text(sum(bar.lots for bar in bars)), turnover]

    def _listed(self, params: Params, optional: bool = False) -> bool:
        """Whether category and symbol name the instrument; raises unless `optional` and merely nothing is asked for."""
        category, symbol = params.get("category"), params.get("symbol")
        if category not in CATEGORIES:
            raise BadParameter("params error: category invalid")
        if category == CATEGORY and symbol == self._venue.instrument.symbol:
            return True
        if optional and not symbol:
            return category == CATEGORY
        raise BadParameter(f"params error: symbol invalid {symbol or ''}")

    def _levels(self, levels: list[tuple[int, int]]) -> list[list[str]]:
        return [[self._price.text(price), self._size.text(lots)] for price, lots in levels]

    def _instrument(self) -> Json:
        instrument = self._venue.instrument
        largest = plain(instrument.quantity(instrument.max_lots))
        return {
            "symbol": instrument.symbol,
            "contractType": "LinearPerpetual",
            "status": "Trading",
            "baseCoin": instrument.base,
            "quoteCoin": instrument.quote,
            "launchTime": "0",
            "deliveryTime": "0",
            "deliveryFeeRate": "",
            "priceScale": str(instrument.price_decimals),
            "leverageFilter": {
                "minLeverage": "1",
                "maxLeverage": plain(instrument.max_leverage),
                "leverageStep": "0.01",
            },
            "priceFilter": {
                "minPrice": plain(instrument.tick),
                "maxPrice": "1999999.80",
                "tickSize": plain(instrument.tick),
            },
            "lotSizeFilter": {
                "maxOrderQty": largest,
                "minOrderQty": plain(instrument.lot),
                "qtyStep": plain(instrument.lot),
                "postOnlyMaxOrderQty": largest,
                "maxMktOrderQty": largest,
                "minNotionalValue": plain(instrument.min_notional),
            },
            "unifiedMarginTrade": True,
            "fundingInterval": 480,
            "settleCoin": instrument.quote,
            "copyTrading": "none",
            "upperFundingRate": "0.00375",
            "lowerFundingRate": "-0.00375",
            "isPreListing": False,
            "preListingInfo": None,
            "displayName": "",
        }
