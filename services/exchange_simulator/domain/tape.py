"""The trades so far: last price, recent prints, one-minute bars and the day's figures."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from libs.trading.market import NS_PER_SECOND
from services.exchange_simulator.domain.identity import trade_uuid
from services.exchange_simulator.domain.market import Print

MINUTE_NS = 60 * NS_PER_SECOND
DAY_BARS = 24 * 60
RECENT = 1000


@dataclass(frozen=True, slots=True)
class Traded:
    time_ns: int
    print: Print
    trade_id: str
    sequence: int


@dataclass(slots=True)
class MinuteBar:
    """Prices in ticks, volume in lots, turnover in ticks times lots."""

    open_ns: int
    open: int
    high: int
    low: int
    close: int
    lots: int
    turnover: int


class Tape:
    """Keeps the last `RECENT` trades and a day of minute bars."""

    def __init__(self, session: str) -> None:
        self.recent: deque[Traded] = deque(maxlen=RECENT)
        self.bars: deque[MinuteBar] = deque(maxlen=DAY_BARS)
        self.last: int | None = None
        self.direction = "ZeroPlusTick"
        self._session = session
        self._count = 0

    def add(self, time_ns: int, traded: Print, sequence: int) -> tuple[str, str]:
        """Write one trade down; returns its id and its tick direction."""
        self._count += 1
        name = traded.trade_id or trade_uuid(self._session, self._count)
        if self.last is not None and traded.price != self.last:
            self.direction = "PlusTick" if traded.price > self.last else "MinusTick"
        elif not self.direction.startswith("Zero"):
            self.direction = "Zero" + self.direction
        self.last = traded.price
        self.recent.append(Traded(time_ns, traded, name, sequence))
        self._bar(time_ns, traded)
        return name, self.direction

    def since(self, time_ns: int) -> list[MinuteBar]:
        return [bar for bar in self.bars if bar.open_ns >= time_ns]

    def _bar(self, time_ns: int, traded: Print) -> None:
        opened = time_ns - time_ns % MINUTE_NS
        price, lots = traded.price, traded.lots
        if not self.bars or self.bars[-1].open_ns != opened:
            self.bars.append(MinuteBar(opened, price, price, price, price, 0, 0))
        bar = self.bars[-1]
        bar.high = max(bar.high, price)
        bar.low = min(bar.low, price)
        bar.close = price
        bar.lots += lots
        bar.turnover += price * lots
