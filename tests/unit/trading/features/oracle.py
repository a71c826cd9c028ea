"""The features once more, naively: everything that ever happened is kept, and each vector is computed from scratch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from libs.trading.features.catalogue import BAR_FEATURES, BOOK_FEATURES
from libs.trading.market import Bar, BookUpdate, Channel, FeedGap, MarketEvent, Seed, Side, Tick, Ticker, Trade

SECOND = 1_000_000_000
NAN = math.nan
BAR_NAMES = tuple(feature.name for feature in BAR_FEATURES)
BOOK_NAMES = tuple(feature.name for feature in BOOK_FEATURES)


@dataclass
class Frame:
    time: int
    bids: list[tuple[float, float]]  # best first
    asks: list[tuple[float, float]]

    @property
    def good(self) -> bool:
        return bool(self.bids and self.asks and self.bids[0][0] < self.asks[0][0])

    @property
    def mid(self) -> float:
        return (self.bids[0][0] + self.asks[0][0]) / 2 if self.good else NAN


@dataclass
class Oracle:
    """Feed it events in log order (received times are not looked at); `vectors` maps as-of to values by name."""

    bar: int
    emission: int
    vectors: dict[int, dict[str, float]] = field(default_factory=dict)
    now: int | None = None
    book: tuple[dict[float, float], dict[float, float]] | None = None
    update_id: int = 0
    frame: Frame | None = None
    frames: list[Frame] = field(default_factory=list)
    flows: list[tuple[int, float]] = field(default_factory=list)
    book_since: float = math.inf
    trades: list[tuple[int, Trade]] = field(default_factory=list)
    running: list[Trade] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    trades_since: int = 0
    bars: list[Bar] = field(default_factory=list)
    bars_imported: bool = False
    last_close: float = NAN

    def feed(self, events: Iterable[MarketEvent]) -> Oracle:
        for event in events:
            self.take(event)
        return self

    def take(self, event: MarketEvent) -> None:
        match event:
            case FeedGap():
                self.lose(event)
            case Tick():
                self.advance(event.time - SECOND)
            case Bar():
                self.advance(event.close_time - 1)
                self.add_bar(event)
                self.bars_imported = True
                self.advance(event.close_time)
            case Seed():
                for bar in event.bars:
                    self.add_bar(bar)
            case Trade():
                self.advance(event.event_time)
                if event.trade_id not in self.ids:
                    self.ids.add(event.trade_id)
                    self.trades.append((self.time(), event))
                    self.running.append(event)
            case BookUpdate():
                self.advance(event.event_time)
                self.take_book(event)
            case _:
                self.advance(event.event_time)
                assert isinstance(event, Ticker)

    def time(self) -> int:
        assert self.now is not None
        return self.now

    def advance(self, target: int) -> None:
        if self.now is None:
            self.now = self.trades_since = target
            return
        for boundary in self.boundaries(self.now, target):
            self.now = boundary
            if boundary % self.bar == 0:
                self.close_bar(boundary)
            if boundary % self.emission == 0:
                self.vectors[boundary] = self.compute(boundary)
        self.now = max(self.now, target)

    def boundaries(self, after: int, upto: int) -> list[int]:
        step = math.gcd(self.bar, self.emission)
        return list(range((after // step + 1) * step, upto + 1, step))

    def lose(self, gap: FeedGap) -> None:
        if self.now is None:
            return
        if gap.channel in (Channel.BOOK, Channel.ALL):
            self.book, self.frame, self.book_since = None, None, math.inf
            self.frames.append(Frame(self.now, [], []))
        if gap.channel in (Channel.TRADES, Channel.ALL) and not self.bars_imported:
            self.bars, self.running, self.last_close = [], [], NAN
        if gap.channel in (Channel.TRADES, Channel.ALL):
            self.trades_since = max(self.now, gap.event_time)

    def take_book(self, update: BookUpdate) -> None:
        fresh = self.book is None or (update.snapshot and update.update_id != self.update_id)
        if not update.snapshot and (self.book is None or update.update_id < self.update_id):
            return
        bids, asks = ({}, {}) if update.snapshot or self.book is None else self.book
        for side, changes in ((bids, update.bids), (asks, update.asks)):
            for price, size in changes:
                side[price] = size
                if size == 0:
                    del side[price]
        self.book, self.update_id = (bids, asks), update.update_id
        before, after = self.frame, Frame(self.time(), sorted(bids.items(), reverse=True), sorted(asks.items()))
        self.frame = after
        self.frames.append(after)
        if not after.good:
            return
        if fresh or before is None or not before.good:
            self.book_since = self.time()
        elif not update.snapshot:
            self.flows.append((self.time(), flow(before, after)))

    def close_bar(self, end: int) -> None:
        if self.bars_imported or not self.trades:
            return
        inside, self.running = self.running, []
        prices = [trade.price for trade in inside]
        if self.trades_since > end - self.bar:
            self.bars = []
            self.last_close = prices[-1] if prices else self.last_close
        elif prices:
            volume = 0.0
            for trade in inside:
                volume += trade.size
            self.add_bar(Bar(end - self.bar, end, prices[0], max(prices), min(prices), prices[-1], volume))
        elif not math.isnan(self.last_close):
            close = self.last_close
            self.add_bar(Bar(end - self.bar, end, close, close, close, close, 0.0))

    def add_bar(self, bar: Bar) -> None:
        if self.bars and self.bars[-1].close_time != bar.open_time:
            self.bars = []
        self.bars.append(bar)
        self.last_close = bar.close

    def compute(self, as_of: int) -> dict[str, float]:
        return {**bar_features(self.bars), **self.book_features(as_of), **self.flow_features(as_of)}

    def mid_at(self, time: int) -> float:
        """The mid from the frames strictly before `time`."""
        earlier = [frame for frame in self.frames if frame.time < time]
        return earlier[-1].mid if earlier else NAN

    def book_features(self, as_of: int) -> dict[str, float]:
        values = dict.fromkeys(BOOK_NAMES, NAN)
        frame = self.frame
        if self.book is None or frame is None or not frame.good:
            return values
        (bid, bid_size), (ask, ask_size) = frame.bids[0], frame.asks[0]
        values["spread_bps"] = (ask - bid) / frame.mid * 1e4
        values["microprice_bps"] = ((bid * ask_size + ask * bid_size) / (bid_size + ask_size) / frame.mid - 1) * 1e4
        for n in (1, 5, 10, 25):
            bids, asks = sum(size for _, size in frame.bids[:n]), sum(size for _, size in frame.asks[:n])
            values[f"imbalance_{n}"] = (bids - asks) / (bids + asks)
        for w in (1, 5, 30):
            if self.book_since <= as_of - w * SECOND:
                inside = [e for time, e in self.flows if as_of - w * SECOND <= time < as_of]
                values[f"ofi_{w}s"] = math.fsum(inside)
                values[f"mid_return_{w}s"] = math.log(frame.mid / self.mid_at(as_of - w * SECOND))
        if self.book_since <= as_of - 30 * SECOND:
            mids = np.array([self.mid_at(as_of - k * SECOND) for k in range(30, -1, -1)])
            values["realised_vol_30s"] = float(np.sqrt(np.sum(np.diff(np.log(mids)) ** 2)))
        return values

    def flow_features(self, as_of: int) -> dict[str, float]:
        values = {}
        for w in (5, 30):
            inside = [trade for time, trade in self.trades if as_of - w * SECOND <= time < as_of]
            buys = math.fsum(trade.size for trade in inside if trade.taker_side is Side.BUY)
            sells = math.fsum(trade.size for trade in inside if trade.taker_side is Side.SELL)
            whole = self.trades_since <= as_of - w * SECOND and bool(self.trades)
            values[f"taker_imbalance_{w}s"] = ((buys - sells) / (buys + sells) if inside else 0.0) if whole else NAN
        return values


def flow(before: Frame, after: Frame) -> float:
    """Cont, Kukanov, Stoikov (2014), as two differences of one side each."""
    (pb0, qb0), (pb1, qb1) = before.bids[0], after.bids[0]
    (pa0, qa0), (pa1, qa1) = before.asks[0], after.asks[0]
    bids = qb1 if pb1 > pb0 else qb1 - qb0 if pb1 == pb0 else -qb0
    asks = qa1 if pa1 < pa0 else qa1 - qa0 if pa1 == pa0 else -qa0
    return bids - asks


def bar_features(bars: list[Bar]) -> dict[str, float]:
    """The last row of `bar_table`."""
    if not bars:
        return dict.fromkeys(BAR_NAMES, NAN)
    return {str(name): float(value) for name, value in bar_table(bars).iloc[-1].items()}


def bar_table(bars: list[Bar]) -> pd.DataFrame:
    """core12 and the twins of contiguous bars, the pandas way; NaN until a window is whole."""
    raw = pd.DataFrame([(b.high, b.low, b.close, b.volume) for b in bars], columns=["high", "low", "close", "volume"])
    close, volume, count = raw["close"], raw["volume"], pd.Series(np.arange(1, len(raw) + 1))
    change = close.diff()
    gain, loss = change.clip(lower=0).rolling(14).mean(), (-change.clip(upper=0)).rolling(14).mean()
    still14 = (close.rolling(15).max() == close.rolling(15).min()) & (count >= 15)
    still20 = (close.rolling(20).max() == close.rolling(20).min()) & (count >= 20)
    macd = close.ewm(span=12, adjust=False).mean() - close.ewm(span=26, adjust=False).mean()
    before = close.shift()
    spans = pd.concat([raw["high"] - raw["low"], (raw["high"] - before).abs(), (raw["low"] - before).abs()], axis=1)
    true_range = spans.max(axis=1).where(before.notna())
    mean, sigma = close.rolling(20).mean(), close.rolling(20).std()
    table = pd.DataFrame(index=raw.index)
    table["close"], table["volume"], table["returns_1"] = close, volume, close.pct_change()
    table["rsi_14"] = (100 - 100 / (1 + gain / (loss + 1e-8 * close))).mask(still14, 50.0)
    table["macd"] = macd.where(count >= 26)
    table["macd_signal"] = macd.ewm(span=9, adjust=False).mean().where(count >= 34)
    table["atr_14"] = true_range.rolling(14).mean()
    band = (close - (mean - 2 * sigma)) / (4 * sigma + 1e-8 * close)
    table["bb_position"] = band.mask(still20, 0.5)
    table["ema_20"] = close.ewm(span=20, adjust=False).mean().where(count >= 20)
    table["ema_50"] = close.ewm(span=50, adjust=False).mean().where(count >= 50)
    mean_volume = volume.rolling(20).apply(np.mean, raw=True)
    table["volume_ratio"] = (volume / mean_volume).mask(mean_volume == 0, 0.0)
    table["zscore"] = ((close - mean) / (sigma + 1e-8 * close)).mask(still20, 0.0)
    table["log_return_1"] = np.log(close / before)
    table["close_to_ema_20"] = close / table["ema_20"] - 1
    table["close_to_ema_50"] = close / table["ema_50"] - 1
    table["macd_to_close"] = table["macd"] / close
    table["macd_signal_to_close"] = table["macd_signal"] / close
    table["atr_to_close"] = table["atr_14"] / close
    table["log_volume_ratio"] = np.log1p(table["volume_ratio"])
    return table
