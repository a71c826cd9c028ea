"""One symbol's connection to Bybit's public WebSocket, from subscribing to the first failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from libs.runtime import metrics
from libs.runtime.logs import get_logger
from libs.trading.market import Channel, FeedGap
from services.data_ingestion.adapters.bybit_frames import (
    SESSIONS_TOPIC,
    Announced,
    BadFrame,
    FrameReader,
    MarketFrame,
    Reply,
    operation,
)
from services.data_ingestion.adapters.kafka_log import KafkaMarketLog
from services.data_ingestion.domain import Announcement, NoSource, SourceState, announced
from services.data_ingestion.ports import InstrumentFeed

DEPTH = 50
SUBSCRIBE_S = 10.0
PING_S = 20.0
SILENCE_S = 30.0  # not even a pong: the connection is dead
SNAPSHOT_S = 15.0
LOOK_S = 0.1
WAIT_LOG_S = 5.0
MAX_FRAME_BYTES = 4 * 1024 * 1024
MAX_QUEUED_FRAMES = 64

log = get_logger("bybit_stream")


class Reconnect(Exception):
    """This connection is of no more use; the message says why."""


@dataclass(frozen=True, slots=True)
class Clocks:
    """Time and chance for those that keep connections."""

    wall_ns: Callable[[], int]
    monotonic_s: Callable[[], float]
    chance: Callable[[], float]  # 0..1, for the jitter of retries


def open_socket(url: str) -> connect:
    """The venue wants pings in its own words, so the protocol's own are off."""
    return connect(
        url,
        compression=None,
        open_timeout=10.0,
        close_timeout=1.0,
        ping_interval=None,
        max_size=MAX_FRAME_BYTES,
        max_queue=MAX_QUEUED_FRAMES,
        proxy=None,
    )


class Connection:
    """`run` returns when the source ended its session, and raises Reconnect, OSError or WebSocketException else."""

    def __init__(
        self, socket: ClientConnection, feed: InstrumentFeed, market_log: KafkaMarketLog, clocks: Clocks, host: str
    ) -> None:
        self._socket, self._feed, self._log, self._clocks = socket, feed, market_log, clocks
        self._host = host
        self._reader = FrameReader(feed.symbol)
        self._book_topic = f"orderbook.{DEPTH}.{feed.symbol}"
        self._heard_s = clocks.monotonic_s()
        self._snapshot_since_s = self._heard_s
        self._stalled = False
        self._fault = ""
        self._ended = False
        self._seconds = metrics.histogram("data_ingestion_frame_seconds")
        self.frames = 0

    async def run(self, announcement: Announcement, announces: bool, reason: str) -> None:
        """Subscribe, open an epoch for `reason`, write what comes. `announces`: the source tells of its sessions."""
        held = await self._subscribe(announces)
        await self._open(announcement, None, reason)
        keeper = asyncio.create_task(self._keep_alive())
        try:
            for frame in held:
                await self._frame(frame, self._clocks.wall_ns())
            while not self._ended:
                frame = await self._socket.recv(decode=False)
                await self._frame(frame, self._clocks.wall_ns())
        except WebSocketException as error:
            raise Reconnect(self._fault or f"{type(error).__name__}: {error}") from error
        finally:
            keeper.cancel()

    async def _subscribe(self, announces: bool) -> list[bytes]:
        """Ask for every topic at once; returns the frames that came before the answer."""
        symbol = self._feed.symbol
        topics = (f"publicTrade.{symbol}", f"tickers.{symbol}", f"allLiquidation.{symbol}", self._book_topic)
        await self._socket.send(operation("subscribe", "all", (SESSIONS_TOPIC, *topics) if announces else topics))
        held: list[bytes] = []
        async with asyncio.timeout(SUBSCRIBE_S):
            while True:
                frame = await self._socket.recv(decode=False)
                try:
                    item = self._reader.read(frame)
                except BadFrame:
                    item = None
                if isinstance(item, Reply) and item.op == "subscribe":
                    if not item.success:
                        raise NoSource(f"{self._host} refuses to send {symbol}: {item.message}")
                    return held
                held.append(frame)

    async def _frame(self, frame: bytes, wall_ns: int) -> None:
        self._heard_s = self._clocks.monotonic_s()
        try:
            item = self._reader.read(frame)
            if isinstance(item, Announced):
                self._announced(item, wall_ns)
        except BadFrame as bad:
            gap = self._feed.malformed(bad.channel, frame, str(bad), wall_ns)
            if gap is not None:
                await self._reopen(gap)
            return
        if isinstance(item, MarketFrame):
            gap = self._feed.take(item.channel, item.events, wall_ns, frame)
            if gap is not None:
                await self._reopen(gap)
                self._feed.take(item.channel, item.events, wall_ns, frame)
            else:
                self._seconds.observe((self._clocks.wall_ns() - wall_ns) / 1e9)
            if gap is not None and self._feed.wants_snapshot:
                await self._ask_snapshot()
            self.frames += 1
        elif isinstance(item, Reply) and not item.success:
            raise Reconnect(f"the venue refused {item.op}: {item.message}")
        self._log.settle_many()
        refusal = self._log.take_refusal(self._feed.instrument)
        if refusal is not None:
            raise Reconnect(f"the broker refused a record: {refusal}")
        if self._log.is_full:
            await self._wait_for_room()

    def _announced(self, item: Announced, wall_ns: int) -> None:
        try:
            announcement = announced(item.announcements, self._feed.symbol, self._host)
        except NoSource as error:
            raise Reconnect(str(error)) from error
        if not self._feed.announce(announcement):
            raise Reconnect(f"the source began session {announcement.session}")
        if announcement.state is SourceState.ENDED:
            self._feed.end(wall_ns)
            self._ended = True

    async def _reopen(self, gap: FeedGap) -> None:
        announcement = self._feed.announcement
        if announcement is None:
            raise RuntimeError("a gap before the first epoch")
        await self._open(announcement, gap, gap.reason)
        if gap.channel is Channel.ALL:
            await self._ask_snapshot()

    async def _open(self, announcement: Announcement, gap: FeedGap | None, reason: str) -> None:
        sent = self._feed.open(announcement, gap, self._clocks.wall_ns(), reason)
        epoch = await self._acknowledged(sent)
        self._feed.opened(epoch)
        log.info(
            "an epoch is open",
            instrument=announcement.instrument,
            session=announcement.session,
            provenance=announcement.provenance.name,
            epoch=epoch,
            because=reason,
        )

    async def _acknowledged(self, sent: Future[int]) -> int:
        """Wait for the broker as long as it takes; only a refusal is a failure."""
        waiting = asyncio.wrap_future(sent)
        self._stalled = True
        try:
            while not (await asyncio.wait([waiting], timeout=WAIT_LOG_S))[0]:
                log.warning("waiting for the broker to acknowledge a feed gap", instrument=self._feed.instrument)
            return await waiting
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._log.settle()
            self._log.take_refusal(self._feed.instrument)
            raise Reconnect(f"the broker refused the opening of an epoch: {error}") from error
        finally:
            self._not_stalled()

    async def _wait_for_room(self) -> None:
        """Stop reading until something was acknowledged: the venue's frames wait in its own buffers."""
        self._stalled = True
        try:
            while self._log.is_full and (oldest := self._log.oldest) is not None:
                if not (await asyncio.wait([asyncio.wrap_future(oldest)], timeout=WAIT_LOG_S))[0]:
                    log.warning(
                        "reading stands still: the broker does not acknowledge", instrument=self._feed.instrument
                    )
                self._log.settle()
        finally:
            self._not_stalled()

    def _not_stalled(self) -> None:
        self._stalled = False
        self._heard_s = self._snapshot_since_s = self._clocks.monotonic_s()

    async def _ask_snapshot(self) -> None:
        """A new subscription begins with a snapshot."""
        self._snapshot_since_s = self._clocks.monotonic_s()
        await self._socket.send(operation("unsubscribe", "book", (self._book_topic,)))
        await self._socket.send(operation("subscribe", "book", (self._book_topic,)))

    async def _keep_alive(self) -> None:
        """Ticks of quiet, pings, and the end of a connection that has died without saying so."""
        pinged_s = self._clocks.monotonic_s()
        while not self._fault:
            await asyncio.sleep(LOOK_S)
            now_s = self._clocks.monotonic_s()
            if not self._log.is_full:
                self._feed.quiet(self._clocks.wall_ns())
            self._log.settle()
            try:
                if now_s - pinged_s >= PING_S:
                    pinged_s = now_s
                    await asyncio.wait_for(self._socket.send(operation("ping", "ping")), LOOK_S)
            except (WebSocketException, TimeoutError):
                pass  # the reader sees the same
            if self._stalled:
                continue
            if now_s - self._heard_s > SILENCE_S:
                self._fault = f"nothing was heard for {SILENCE_S:g} s"
            elif self._feed.wants_snapshot and self.frames and now_s - self._snapshot_since_s > SNAPSHOT_S:
                self._fault = f"no book snapshot within {SNAPSHOT_S:g} s"
        await self._socket.close()
