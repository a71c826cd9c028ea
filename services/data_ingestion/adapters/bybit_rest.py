"""The venue's public HTTP: its clock, its instruments, its candles, and what a simulator announces."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec

from libs.trading.market import Bar
from services.data_ingestion.adapters.bybit_frames import NS_PER_MS, BadFrame, read_sessions
from services.data_ingestion.domain import (
    Announcement,
    NoSource,
    announced,
    is_the_venue,
    live_announcement,
)
from services.data_ingestion.ports import VenueUnavailable

TIMEOUT_S = 5.0
MINUTE_NS = 60_000_000_000
MAX_KLINES = 1000
ResultT = TypeVar("ResultT")


class _Answer(msgspec.Struct, rename="camel"):
    ret_code: int
    ret_msg: str = ""
    result: msgspec.Raw = msgspec.Raw(b"{}")


class _Time(msgspec.Struct, rename="camel"):
    time_nano: str


class _Listing(msgspec.Struct):
    symbol: str
    status: str = ""


class _Instruments(msgspec.Struct):
    rows: list[_Listing] = msgspec.field(name="list")


class _Klines(msgspec.Struct):
    rows: list[tuple[int, float, float, float, float, float, float]] = msgspec.field(name="list")


class BybitRest:
    """Calls may come from any thread; `wall_ns` is our clock."""

    def __init__(
        self,
        http_url: str,
        stream_url: str,
        category: str,
        wall_ns: Callable[[], int],
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._url = http_url.rstrip("/")
        self.host = urlsplit(http_url).netloc
        self._category = category
        self._is_venue = is_the_venue(http_url, stream_url)
        self._wall_ns = wall_ns
        self._client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False, trust_env=False, transport=transport)

    @property
    def is_venue(self) -> bool:
        return self._is_venue

    def named(self, symbol: str) -> str:
        """The instrument that the venue itself would mean; a simulator announces its own."""
        return f"bybit.{self._category}.{symbol}"

    def announcement(self, symbol: str) -> Announcement:
        if self._is_venue:
            self._check_listed(symbol)
            return live_announcement(self.named(symbol), symbol, self._clock_offset())
        response = self._get("/simulator/v1/sessions", {})
        if response.status_code != httpx.codes.OK:
            raise NoSource(
                f"{self.host} neither is the venue (its own hosts over TLS) nor announces itself: "
                f"/simulator/v1/sessions answered {response.status_code}"
            )
        try:
            offered = read_sessions(response.content)
        except BadFrame as error:
            raise NoSource(f"{self.host} announces itself in a form that is not understood: {error}") from error
        return announced(offered, symbol, self.host)

    def klines(self, symbol: str, from_ns: int, to_ns: int) -> list[Bar]:
        wanted = {
            "category": self._category,
            "symbol": symbol,
            "interval": "1",
            "start": str(-(-from_ns // NS_PER_MS)),
            "end": str((to_ns - 1) // NS_PER_MS),
            "limit": str(MAX_KLINES),
        }
        rows = self._ask("/v5/market/kline", wanted, _Klines).rows
        bars = [_bar(row) for row in reversed(rows)]
        return [bar for bar in bars if from_ns <= bar.open_time < to_ns]

    def close(self) -> None:
        self._client.close()

    def _check_listed(self, symbol: str) -> None:
        wanted = {"category": self._category, "symbol": symbol}
        listed = self._ask("/v5/market/instruments-info", wanted, _Instruments).rows
        if not any(each.symbol == symbol for each in listed):
            raise NoSource(f"unknown symbol {symbol}: {self.host} lists none of category {self._category}")

    def _clock_offset(self) -> int:
        """The venue's clock less ours, at the middle of the question."""
        before = self._wall_ns()
        venue = int(self._ask("/v5/market/time", {}, _Time).time_nano)
        return venue - (before + self._wall_ns()) // 2

    def _ask(self, path: str, wanted: dict[str, str], result: type[ResultT]) -> ResultT:
        """The result of a question. Raises NoSource when the venue refuses, VenueUnavailable without an answer."""
        response = self._get(path, wanted)
        if response.status_code != httpx.codes.OK:
            raise VenueUnavailable(f"{self.host}{path} answered {response.status_code}")
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
            if answer.ret_code != 0:
                raise NoSource(f"{self.host}{path} refuses {wanted}: {answer.ret_code} {answer.ret_msg}")
            return msgspec.json.decode(answer.result, type=result, strict=False)
        except msgspec.MsgspecError as error:
            raise VenueUnavailable(f"{self.host}{path} answered what is not understood: {error}") from error

    def _get(self, path: str, wanted: dict[str, str]) -> httpx.Response:
        try:
            return self._client.get(self._url + path, params=wanted)
        except httpx.HTTPError as error:
            raise VenueUnavailable(f"no answer from {self._url}{path}: {error or type(error).__name__}") from error


def _bar(row: tuple[int, float, float, float, float, float, float]) -> Bar:
    opened = row[0] * NS_PER_MS
    return Bar(opened, opened + MINUTE_NS, row[1], row[2], row[3], row[4], row[5])
