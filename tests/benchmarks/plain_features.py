"""The peer of the feature bench: the same features in plain Python, O(1) per event, as one would write them by hand."""

from __future__ import annotations

import bisect
import math
from collections import deque

import numpy as np

from libs.trading.market import FLAG_FIRST, FLAG_LAST, FLAG_SNAPSHOT, RowKind, Rows

SECOND = 1_000_000_000
WINDOWS = (1, 5, 30)


class Rolling:
    """Sum and sum of squares of the last n values."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.values: deque[float] = deque()
        self.total = 0.0
        self.squares = 0.0

    def add(self, value: float) -> None:
        self.values.append(value)
        self.total += value
        self.squares += value * value
        if len(self.values) > self.n:
            old = self.values.popleft()
            self.total -= old
            self.squares -= old * old


class PlainFeatures:
    """One instrument without gaps; `vectors` maps as-of to values by name, those that are warm."""

    def __init__(self, bar: int, emission: int) -> None:
        self.bar, self.emission = bar, emission
        self.vectors: dict[int, dict[str, float]] = {}
        self.edge = 0
        self.bids: list[float] = []
        self.asks: list[float] = []
        self.sizes: dict[tuple[int, float], float] = {}
        self.best: tuple[float, float, float, float] | None = None
        self.synced = False
        self.flow = [0.0, 0.0, 0.0]
        self.buckets: deque[list[float]] = deque(maxlen=30 * SECOND // emission)
        self.sums = [[0.0] * 3 for _ in WINDOWS]
        self.candle: list[float] = []
        self.close = math.nan
        self.n_bars = 0
        self.partial = True  # the first bar began before the recording
        self.emas = [0.0] * 5
        self.gains, self.losses, self.ranges = Rolling(14), Rolling(14), Rolling(14)
        self.closes, self.volumes = Rolling(20), Rolling(20)
        self.values: dict[str, float] = {}

    def rows(self, rows: Rows) -> None:
        for time, _value, price, size, kind, side, flags, _ in rows.tolist():
            if kind == RowKind.TRADE:
                self.advance(time)
                self.flow[1 if side == 1 else 2] += size
                if self.candle:
                    candle = self.candle
                    candle[1], candle[2], candle[3] = max(candle[1], price), min(candle[2], price), price
                    candle[4] += size
                else:
                    self.candle = [price, price, price, price, size]
            elif kind == RowKind.BOOK_LEVEL:
                self.level(time, price, size, side, flags)

    def level(self, time: int, price: float, size: float, side: int, flags: int) -> None:
        if flags & FLAG_FIRST:
            self.advance(time)
            if flags & FLAG_SNAPSHOT:
                self.bids, self.asks, self.sizes, self.synced, self.best = [], [], {}, True, None
        if not self.synced:
            return
        prices = self.bids if side == 1 else self.asks
        if size > 0:
            if (side, price) not in self.sizes:
                bisect.insort(prices, price)
            self.sizes[side, price] = size
        elif self.sizes.pop((side, price), None) is not None:
            del prices[bisect.bisect_left(prices, price)]
        if flags & FLAG_LAST:
            bid, ask = self.bids[-1], self.asks[0]
            best = (bid, self.sizes[1, bid], ask, self.sizes[2, ask])
            if self.best is not None:
                pb, qb, pa, qa = self.best
                self.flow[0] += (best[1] if bid >= pb else 0.0) - (qb if bid <= pb else 0.0)
                self.flow[0] += (qa if ask >= pa else 0.0) - (best[3] if ask <= pa else 0.0)
            self.best = best

    def advance(self, time: int) -> None:
        if not self.edge:
            self.edge = (time // self.emission + 1) * self.emission
        while self.edge <= time:
            self.roll()
            if self.edge % self.bar == 0:
                self.close_bar()
            self.vectors[self.edge] = self.vector()
            self.edge += self.emission

    def roll(self) -> None:
        for window, sums in zip(WINDOWS, self.sums, strict=True):
            n = window * SECOND // self.emission
            for i in range(3):
                sums[i] += self.flow[i] - (self.buckets[-n][i] if len(self.buckets) >= n else 0.0)
        self.buckets.append(self.flow)
        self.flow = [0.0, 0.0, 0.0]

    def vector(self) -> dict[str, float]:
        values = dict(self.values)
        for window, sums in zip(WINDOWS, self.sums, strict=True):
            values[f"ofi_{window}s"] = sums[0]
            total = sums[1] + sums[2]
            values[f"taker_imbalance_{window}s"] = (sums[1] - sums[2]) / total if total > 1e-9 else 0.0
        if self.best is not None:
            bid, bid_size, ask, ask_size = self.best
            mid = (bid + ask) / 2
            values["spread_bps"] = (ask - bid) / mid * 1e4
            values["microprice_bps"] = ((bid * ask_size + ask * bid_size) / (bid_size + ask_size) / mid - 1) * 1e4
            for n in (1, 5, 10, 25):
                bids = sum(self.sizes[1, price] for price in self.bids[-n:])
                asks = sum(self.sizes[2, price] for price in self.asks[:n])
                values[f"imbalance_{n}"] = (bids - asks) / (bids + asks)
        return values

    def close_bar(self) -> None:
        if not self.candle:
            if math.isnan(self.close):
                return
            self.candle = [self.close] * 4 + [0.0]
        _, high, low, close, volume = self.candle
        self.candle = []
        before, self.close = self.close, close
        if self.partial:
            self.partial = False
            return
        self.n_bars += 1
        for i, span in enumerate((12, 26, 9, 20, 50)):
            value = self.emas[0] - self.emas[1] if span == 9 else close
            alpha = 2 / (span + 1)
            self.emas[i] = value if self.n_bars == 1 else alpha * value + (1 - alpha) * self.emas[i]
        if self.n_bars > 1:
            self.gains.add(max(close - before, 0.0))
            self.losses.add(max(before - close, 0.0))
            self.ranges.add(max(high - low, abs(high - before), abs(low - before)))
        self.closes.add(close)
        self.volumes.add(volume)
        mean = self.closes.total / 20
        sigma = math.sqrt(max(self.closes.squares - 20 * mean * mean, 0.0) / 19)
        self.values = {
            "close": close,
            "volume": volume,
            "log_return_1": math.log(close / before) if self.n_bars > 1 else math.nan,
            "rsi_14": 100 - 100 / (1 + self.gains.total / (self.losses.total + 14e-8 * close)),
            "macd_to_close": (self.emas[0] - self.emas[1]) / close,
            "macd_signal_to_close": self.emas[2] / close,
            "atr_to_close": self.ranges.total / 14 / close,
            "zscore": (close - mean) / (sigma + 1e-8 * close),
            "bb_position": (close - mean + 2 * sigma) / (4 * sigma + 1e-8 * close),
            "close_to_ema_20": close / self.emas[3] - 1,
            "close_to_ema_50": close / self.emas[4] - 1,
            "log_volume_ratio": float(
                np.log1p(volume / (self.volumes.total / 20) if self.volumes.total > 1e-12 else 0)
            ),
        }
