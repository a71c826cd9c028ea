"""All feeds of this process in one event loop: each is connected again for ever, with back-off."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

from websockets.exceptions import WebSocketException

from libs.runtime.logs import get_logger
from services.data_ingestion.adapters.bybit_rest import BybitRest
from services.data_ingestion.adapters.bybit_stream import Clocks, Connection, Reconnect, open_socket
from services.data_ingestion.adapters.kafka_log import KafkaMarketLog
from services.data_ingestion.domain import FeedState, FeedStatus, NoSource, SourceState, retry_delay_s
from services.data_ingestion.ports import InstrumentFeed, VenueUnavailable

ENDED_LOOK_S = 1.0
STOP_LOOK_S = 0.05
STABLE_EVENTS = 100  # a connection that brought this many counts as a success
START = "start of ingestion"
EXPECTED = (Reconnect, NoSource, VenueUnavailable, WebSocketException, OSError, TimeoutError)

log = get_logger("feeds")


class VenueFeeds:
    """`run` is the task that owns the loop; the other methods may be called from any thread."""

    def __init__(
        self,
        rest: BybitRest,
        stream_url: str,
        market_log: KafkaMarketLog,
        make_feed: Callable[[str], InstrumentFeed],
        clocks: Clocks,
        symbols: Sequence[str],
    ) -> None:
        self._rest, self._url, self._log, self._make_feed, self._clocks = (
            rest,
            stream_url,
            market_log,
            make_feed,
            clocks,
        )
        self._lock = threading.Lock()
        self._wanted = {symbol: make_feed(symbol) for symbol in symbols}
        self._running: dict[InstrumentFeed, asyncio.Task[None]] = {}

    def run(self, stop: threading.Event) -> None:
        asyncio.run(self._run(stop))

    def statuses(self) -> list[FeedStatus]:
        with self._lock:
            feeds = list(self._wanted.values())
        return sorted((feed.status() for feed in feeds), key=lambda status: status.instrument)

    def add(self, symbol: str) -> FeedStatus:
        """Begin to follow a symbol; the feed that is there already, if it is."""
        with self._lock:
            feed = self._wanted.setdefault(symbol, self._make_feed(symbol))
        return feed.status()

    def remove(self, symbol: str) -> None:
        with self._lock:
            self._wanted.pop(symbol, None)

    @property
    def all_opened(self) -> bool:
        """Whether every feed has written into the log, or found its session over."""
        return all(status.gaps > 0 or status.state is FeedState.ENDED for status in self.statuses())

    async def _run(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._match()
                await asyncio.sleep(STOP_LOOK_S)
        finally:
            tasks = list(self._running.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _match(self) -> None:
        """Start and end connections until they are those that are wanted."""
        with self._lock:
            wanted = set(self._wanted.values())
        for feed in self._running.keys() - wanted:
            self._running.pop(feed).cancel()
        for feed in wanted - self._running.keys():
            self._running[feed] = asyncio.create_task(self._keep(feed))

    async def _keep(self, feed: InstrumentFeed) -> None:
        failures, reason = 0, START
        while True:
            before = feed.status().events
            try:
                await self._follow(feed, reason)
            except EXPECTED as error:
                problem = str(error) or type(error).__name__
                log.warning("no connection", symbol=feed.symbol, reason=problem)
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
                log.exception("a feed failed in a way that nobody foresaw", symbol=feed.symbol)
            else:
                failures, reason = 0, "the source began another session"
                await asyncio.sleep(ENDED_LOOK_S)
                continue
            if feed.status().gaps > 0:
                reason = f"connection lost: {problem}"[:200]
            if feed.status().events - before >= STABLE_EVENTS:
                failures = 0
            feed.lost(problem)
            await asyncio.sleep(retry_delay_s(failures, self._clocks.chance()))
            failures += 1

    async def _follow(self, feed: InstrumentFeed, reason: str) -> None:
        """One connection; returns when the source's session is over."""
        announcement = await asyncio.to_thread(self._rest.announcement, feed.symbol)
        if announcement.state is SourceState.ENDED:
            feed.lost("", FeedState.ENDED)
            return
        feed.connecting()
        async with open_socket(self._url) as socket:
            connection = Connection(socket, feed, self._log, self._clocks, self._rest.host)
            await connection.run(announcement, not self._rest.is_venue, reason)
