"""Public WebSocket frames in Bybit's v5 shape."""

from __future__ import annotations

import msgspec

from services.exchange_simulator.adapters.text import NS_PER_MS, Steps, fixed, rounded
from services.exchange_simulator.domain.instrument import CATEGORY, Instrument
from services.exchange_simulator.domain.public import (
    DEPTH,
    BookFrame,
    LiquidationsFrame,
    PublicFrame,
    SessionFrame,
    TickerFrame,
    TradesFrame,
)
from services.exchange_simulator.domain.sessions import Session

SESSIONS_TOPIC = "simulator.sessions"
SIDES = {1: "Buy", 2: "Sell"}
Json = dict[str, object]


class PublicFrames:
    """Renders what the venue says about one instrument; keeps the last ticker, to send only what changed."""

    def __init__(self, instrument: Instrument) -> None:
        symbol = self._symbol = instrument.symbol
        self.book_topic = f"orderbook.{DEPTH}.{symbol}"
        self.trades_topic = f"publicTrade.{symbol}"
        self.ticker_topic = f"tickers.{symbol}"
        self.liquidations_topic = f"allLiquidation.{symbol}"
        self.topics = frozenset(
            (self.book_topic, self.trades_topic, self.ticker_topic, self.liquidations_topic, SESSIONS_TOPIC)
        )
        self._price = Steps(instrument.tick, instrument.price_decimals)
        self._size = Steps(instrument.lot, instrument.lot_decimals)
        self._tick, self._lot = float(instrument.tick), float(instrument.lot)
        self._ticker: dict[str, str] = {}
        self._ticker_place = (0, 0)

    def render(self, frame: PublicFrame) -> tuple[str, bytes | None]:
        """Topic and bytes; None when there is nothing to say."""
        if isinstance(frame, BookFrame):
            return self.book_topic, self.book(frame)
        if isinstance(frame, TradesFrame):
            return self.trades_topic, self._trades(frame)
        if isinstance(frame, TickerFrame):
            return self.ticker_topic, self._ticker_change(frame)
        if isinstance(frame, LiquidationsFrame):
            return self.liquidations_topic, self._liquidations(frame)
        return SESSIONS_TOPIC, session_frame(frame)

    def book(self, frame: BookFrame) -> bytes:
        ms = frame.time_ns // NS_PER_MS
        kind = "snapshot" if frame.snapshot else "delta"
        return (
            f'{{"topic":"{self.book_topic}","type":"{kind}","ts":{ms},"data":{{"s":"{self._symbol}",'
            f'"b":[{self._levels(frame.bids)}],"a":[{self._levels(frame.asks)}],'
            f'"u":{frame.update_id},"seq":{frame.sequence}}},"cts":{ms}}}'
        ).encode()

    def ticker_snapshot(self) -> bytes | None:
        """The whole ticker as last sent, for who comes later."""
        return self._ticker_frame("snapshot", self._ticker) if self._ticker else None

    def _levels(self, levels: list[tuple[int, int]]) -> str:
        price, size = self._price.text, self._size.text
        return ",".join([f'["{price(ticks)}","{size(lots) if lots else 0}"]' for ticks, lots in levels])

    def _trades(self, frame: TradesFrame) -> bytes:
        ms = frame.time_ns // NS_PER_MS
        rows = [
            f'{{"T":{traded.time_ns // NS_PER_MS or ms},"s":"{self._symbol}","S":"{SIDES[traded.side]}",'
            f'"v":"{self._size.text(traded.lots)}","p":"{self._price.text(traded.price)}","L":"{way}","i":"{name}",'
            f'"BT":false,"RPI":false,"seq":{frame.sequence}}}'
            for traded, name, way in zip(frame.prints, frame.ids, frame.directions, strict=True)
        ]
        head = f'{{"topic":"{self.trades_topic}","type":"snapshot","ts":{ms},"data":['
        return f"{head}{','.join(rows)}]}}".encode()

    def _liquidations(self, frame: LiquidationsFrame) -> bytes:
        rows = [
            f'{{"T":{forced.time_ns // NS_PER_MS},"s":"{self._symbol}","S":"{SIDES[forced.side]}",'
            f'"v":"{self._size.text(forced.lots)}","p":"{self._price.text(forced.price)}"}}'
            for forced in frame.forced
        ]
        head = f'{{"topic":"{self.liquidations_topic}","type":"snapshot","ts":{frame.time_ns // NS_PER_MS},"data":['
        return f"{head}{','.join(rows)}]}}".encode()

    def _ticker_change(self, frame: TickerFrame) -> bytes | None:
        """The first frame is whole, later ones carry what changed."""
        whole, before = self.ticker(frame), self._ticker
        changed = {name: text for name, text in whole.items() if before.get(name) != text}
        self._ticker, self._ticker_place = whole, (frame.sequence, frame.time_ns // NS_PER_MS)
        if not before:
            return self._ticker_frame("snapshot", whole)
        return self._ticker_frame("delta", {"symbol": self._symbol, **changed}) if changed else None

    def _ticker_frame(self, kind: str, data: dict[str, str]) -> bytes:
        sequence, ms = self._ticker_place
        return msgspec.json.encode({"topic": self.ticker_topic, "type": kind, "data": data, "cs": sequence, "ts": ms})

    def ticker(self, frame: TickerFrame) -> dict[str, str]:
        """Every field of a linear ticker; what is not known is empty text, as the venue writes it."""
        price, size, d = self._price.text, self._size.text, frame.derivative
        value = "" if d.open_interest is None or d.mark is None else fixed(d.open_interest * d.mark, 2)
        return {
            "symbol": self._symbol,
            "tickDirection": frame.direction,
            "price24hPcnt": fixed(frame.last / frame.day_open - 1, 6),
            "lastPrice": price(frame.last),
            "prevPrice24h": price(frame.day_open),
            "highPrice24h": price(frame.day_high),
            "lowPrice24h": price(frame.day_low),
            "prevPrice1h": price(frame.hour_open),
            "markPrice": "" if d.mark is None else fixed(d.mark, 2),
            "indexPrice": "" if d.index is None else fixed(d.index, 2),
            "openInterest": "" if d.open_interest is None else fixed(d.open_interest, 3),
            "openInterestValue": value,
            "turnover24h": fixed(frame.day_turnover * self._tick * self._lot, 4),
            "volume24h": fixed(frame.day_lots * self._lot, 4),
            "nextFundingTime": "" if d.next_funding_ns is None else str(d.next_funding_ns // NS_PER_MS),
            "fundingRate": "" if d.funding_rate is None else f"{d.funding_rate:.8f}".rstrip("0").rstrip("."),
            "bid1Price": price(frame.bid[0]) if frame.bid else "",
            "bid1Size": size(frame.bid[1]) if frame.bid else "",
            "ask1Price": price(frame.ask[0]) if frame.ask else "",
            "ask1Size": size(frame.ask[1]) if frame.ask else "",
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }


def session_frame(frame: SessionFrame) -> bytes:
    body = {
        "topic": SESSIONS_TOPIC,
        "type": "snapshot",
        "ts": frame.wall_ns // NS_PER_MS,
        "data": [session_json(frame.session)],
    }
    return msgspec.json.encode(body)


def session_json(session: Session) -> Json:
    """The announcement; times in ns since 1970 UTC, session time but for the clock's wall anchor."""
    instrument, clock = session.instrument, session.clock
    return {
        "session": session.id,
        "instrument": instrument.origin,
        "symbol": instrument.symbol,
        "category": CATEGORY,
        "provenance": session.provenance.name,
        "state": session.state.value,
        "clock": {
            "wall_anchor_ns": clock.wall_anchor_ns,
            "session_anchor_ns": clock.session_anchor_ns,
            "rate": clock.rate,
        },
        "training_start_ns": session.training_start_ns,
        "training_end_ns": session.training_end_ns,
        "market": {
            "tick_size": rounded(instrument.tick),
            "lot_step": rounded(instrument.lot),
            "min_notional": rounded(instrument.min_notional),
            "maker_fee_bps": rounded(instrument.maker_fee * 10_000),
            "taker_fee_bps": rounded(instrument.taker_fee * 10_000),
        },
    }
