"""Frames to acknowledged Kafka records: a recorded market in Bybit's frames, step by step and over a socket."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from infra.daemon import free_port
from infra.kafka.broker import Broker, BrokerPlace
from infra.kafka.topics import create_topics
from libs.runtime.kafka import KafkaConfig, Position, Producer, open_producer
from libs.trading.market import BookUpdate, Provenance, SessionClock, Side, Trade
from services.data_ingestion.adapters.bybit_frames import FrameReader, MarketFrame
from services.data_ingestion.adapters.bybit_rest import BybitRest
from services.data_ingestion.adapters.bybit_stream import Clocks
from services.data_ingestion.adapters.feeds import VenueFeeds
from services.data_ingestion.adapters.kafka_log import KafkaMarketLog
from services.data_ingestion.adapters.meter import PrometheusMeter
from services.data_ingestion.domain import Announcement, SourceState
from services.data_ingestion.handlers.feed import Feed
from tests.builders.recordings import binance_frames
from tests.fakes.market_log import CountingMeter, RememberingLog

ROOT = Path(__file__).parents[2]
CAPTURE = Path("binance_l2_hftbacktest_2024") / "spot_btcusdt_20240808.gz"
SYMBOL = "BTCUSDT"
BOOK = f"orderbook.50.{SYMBOL}"
FRAMES = 30_000
ROUNDS = 3
TARGET = 20_000
CLOCKS = Clocks(time.time_ns, time.monotonic, lambda: 0.5)


def main() -> int:
    folder = Path(os.environ.get("TRADING_TEST_DATA") or ROOT / ".." / "shared" / "data")
    if not (folder / CAPTURE).is_file():
        print(f"ingest: left out, no recorded data at {folder} (TRADING_TEST_DATA)")
        return 0
    frames = bybit_frames(folder / CAPTURE)
    with tempfile.TemporaryDirectory() as place:
        broker = Broker(BrokerPlace(Path(place) / "broker", free_port(), free_port()))
        broker.start()
        try:
            create_topics(broker.bootstrap)
            kafka = KafkaConfig(broker.bootstrap)
            runs: dict[str, Callable[[], int]] = {
                "read the frame": lambda: parse(frames),
                "read, judge, number": lambda: handle(frames),
                "read ... acknowledged by Kafka": lambda: to_kafka(frames, kafka),
                "socket ... acknowledged by Kafka": lambda: over_socket(frames, kafka),
            }
            measured: dict[str, list[tuple[float, float, int]]] = {name: [] for name in runs}
            for _ in range(ROUNDS):
                for name, run in runs.items():
                    measured[name].append(timed(run))
        finally:
            broker.stop()
    print_table(frames, measured)
    return 0


def bybit_frames(capture: Path) -> list[bytes]:
    """The recorded market, one frame per recorded one, as Bybit would say it; update ids rise by one."""
    frames: list[bytes] = []
    number, at_ms = 0, time.time_ns() // 1_000_000
    for _, events in binance_frames(capture):
        trades = [event for event in events if isinstance(event, Trade)]
        for event in events:
            if isinstance(event, BookUpdate):
                number += 1
                frames.append(book_frame(event, number, at_ms))
        if trades:
            frames.append(trades_frame(trades, at_ms))
        if len(frames) >= FRAMES:
            break
    return frames


def book_frame(book: BookUpdate, number: int, at_ms: int) -> bytes:
    data = {
        "s": SYMBOL,
        "b": [[f"{price:.2f}", f"{size:.5f}"] for price, size in book.bids[:50]],
        "a": [[f"{price:.2f}", f"{size:.5f}"] for price, size in book.asks[:50]],
        "u": number,
        "seq": number,
    }
    kind = "snapshot" if book.snapshot else "delta"
    return encoded({"topic": BOOK, "type": kind, "ts": at_ms, "data": data, "cts": at_ms})


def trades_frame(trades: list[Trade], at_ms: int) -> bytes:
    sides = {Side.BUY: "Buy", Side.SELL: "Sell"}
    rows = [
        {"T": at_ms, "s": SYMBOL, "S": sides[t.taker_side], "v": f"{t.size:.5f}", "p": f"{t.price:.2f}"}
        | {"L": "PlusTick", "i": t.trade_id, "BT": False, "RPI": False, "seq": 1}
        for t in trades
    ]
    return encoded({"topic": f"publicTrade.{SYMBOL}", "type": "snapshot", "ts": at_ms, "data": rows})


def encoded(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def parse(frames: list[bytes]) -> int:
    reader = FrameReader(SYMBOL)
    return sum(len(item.events) for frame in frames if isinstance(item := reader.read(frame), MarketFrame))


class Forgetting(RememberingLog):
    """A log that costs nothing."""

    def append(self, head: Any, events: Any) -> None:
        pass


def announcement() -> Announcement:

    clock = SessionClock(0, 0, 1.0)
    return Announcement("bench", f"sim.linear.{SYMBOL}", SYMBOL, Provenance.SIMULATED, clock, SourceState.TRADING)


def handle(frames: list[bytes]) -> int:
    feed = Feed(SYMBOL, SYMBOL, Forgetting(), CountingMeter())
    feed.opened(feed.open(announcement(), None, time.time_ns(), "bench").result())
    return feed_all(feed, frames, lambda: None)


def feed_all(feed: Feed, frames: list[bytes], settle: Callable[[], None]) -> int:
    reader, events = FrameReader(SYMBOL), 0
    for frame in frames:
        item = reader.read(frame)
        assert isinstance(item, MarketFrame)
        assert feed.take(item.channel, item.events, time.time_ns(), frame) is None
        events += len(item.events)
        settle()
    return events


def to_kafka(frames: list[bytes], kafka: KafkaConfig) -> int:
    """As the adapter does it, the bound on unacknowledged records included."""
    log = KafkaMarketLog(open_producer(kafka, "bench"), 10_000, 16 * 1024 * 1024, wall_ns=time.time_ns)
    feed = Feed(SYMBOL, SYMBOL, log, CountingMeter())
    feed.opened(feed.open(announcement(), None, time.time_ns(), "bench").result(30))

    def settle() -> None:
        log.settle_many()
        while log.is_full and log.oldest is not None:
            log.oldest.result(30)
            log.settle()

    events = feed_all(feed, frames, settle)
    log.close()
    assert log.oldest is None
    return events


class Counted:
    """A producer that counts what is acknowledged."""

    def __init__(self, producer: Producer) -> None:
        self._producer, self.acknowledged = producer, 0

    def send(self, topic: str, **record: Any) -> Future[Position]:
        future = self._producer.send(topic, **record)
        future.add_done_callback(self._count)
        return future

    def flush(self, timeout_s: float) -> bool:
        return self._producer.flush(timeout_s)

    def close(self, timeout_s: float = 10.0) -> None:
        self._producer.close(timeout_s)

    def _count(self, _: Future[Position]) -> None:
        self.acknowledged += 1


def over_socket(frames: list[bytes], kafka: KafkaConfig) -> int:
    """The service's own loop against a venue in another process that sends as fast as it is read."""
    port = free_port()
    venue = multiprocessing.Process(target=serve_frames, args=(frames, port), daemon=True)
    venue.start()
    producer = Counted(open_producer(kafka, "bench"))
    log = KafkaMarketLog(producer, 10_000, 16 * 1024 * 1024, wall_ns=time.time_ns)
    rest = BybitRest(f"http://127.0.0.1:{port}", f"ws://127.0.0.1:{port}", "linear", time.time_ns)
    meter = PrometheusMeter()
    feeds = VenueFeeds(
        rest,
        f"ws://127.0.0.1:{port}/v5/public/linear",
        log,
        lambda symbol: Feed(symbol, rest.named(symbol), log, meter),
        CLOCKS,
        [SYMBOL],
    )
    stop = threading.Event()
    loop = threading.Thread(target=feeds.run, args=(stop,))
    loop.start()
    while producer.acknowledged < len(frames) + 1:
        time.sleep(0.001)
    [status] = feeds.statuses()
    stop.set()
    loop.join()
    log.close()
    rest.close()
    venue.terminate()
    assert status.gaps == 1, status
    return status.events


def serve_frames(frames: list[bytes], port: int) -> None:
    texts = [frame.decode() for frame in frames]
    session = {
        "session": f"bench-{port}",
        "instrument": f"sim.linear.{SYMBOL}",
        "symbol": SYMBOL,
        "provenance": "SIMULATED",
        "state": "TRADING",
        "clock": {"wall_anchor_ns": 0, "session_anchor_ns": 0, "rate": 1.0},
    }

    def answer(_: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/v5/"):
            return None
        body = encoded({"sessions": [session]})
        return Response(HTTPStatus.OK, "OK", Headers({"Content-Length": str(len(body))}), body)

    async def talk(connection: ServerConnection) -> None:
        try:
            await connection.recv()
            await connection.send(json.dumps({"op": "subscribe", "success": True, "req_id": "all"}))
            for text in texts:
                await connection.send(text)
            await connection.wait_closed()
        except ConnectionClosed:
            return

    async def run() -> None:
        async with serve(talk, "127.0.0.1", port, process_request=answer, compression=None, ping_interval=None):
            await asyncio.get_running_loop().create_future()

    asyncio.run(run())


def timed(run: Callable[[], int]) -> tuple[float, float, int]:
    """Seconds by the clock, seconds of this process's CPU (all its threads), events."""
    begun, spent = time.perf_counter(), cpu_s()
    events = run()
    return time.perf_counter() - begun, cpu_s() - spent, events


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def print_table(frames: list[bytes], measured: dict[str, list[tuple[float, float, int]]]) -> None:
    counts = {events for rounds in measured.values() for _, _, events in rounds}
    assert len(counts) == 1, f"the runs do not agree on the number of events: {counts}"
    [events] = counts
    size = sum(map(len, frames)) / len(frames)
    print(f"ingest: {len(frames):,} frames of {size:.0f} bytes, {events:,} events, median of {ROUNDS} rounds")
    print(f"{'':34}{'us/frame':>10}{'CPU us/frame':>14}{'events/s':>12}{'events/CPU s':>14}  target")
    for name, rounds in measured.items():
        wall = statistics.median(one[0] for one in rounds)
        spent = statistics.median(one[1] for one in rounds)
        target = f">= {TARGET:,} events/s" if "Kafka" in name else ""
        print(
            f"{name:34}{wall / len(frames) * 1e6:10.1f}{spent / len(frames) * 1e6:14.1f}"
            f"{events / wall:12,.0f}{events / spent:14,.0f}  {target}"
        )


if __name__ == "__main__":
    sys.exit(main())
