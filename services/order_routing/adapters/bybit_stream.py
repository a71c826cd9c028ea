"""Bybit v5's private WebSocket: orders and executions as they happen, for ever, with a word when it was away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from libs.runtime.logs import get_logger
from services.order_routing.adapters.bybit_messages import MS, UnknownMessage, fill_of, report_of
from services.order_routing.adapters.bybit_signing import Credentials, stream_signature
from services.order_routing.ports import Clock, FillNews, News, OrderNews, StreamBack

TOPICS = ("order", "execution", "position")
PING_S = 20.0
SILENCE_S = 45.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 10.0

log = get_logger("bybit_stream")


class StreamRefused(Exception):
    """The venue did not take the login or the subscription."""


class BybitStream:
    """One thread owns it. Only the symbols that it is told of are heard."""

    def __init__(
        self,
        url: str,
        credentials: Credentials,
        clock: Clock,
        venue_time: Callable[[int], int],
        category: str = "linear",
    ) -> None:
        self._url = url
        self._credentials = credentials
        self._clock = clock
        self._venue_time = venue_time
        self._symbols: Mapping[str, str] = {}
        self._category = category

    def run(
        self, stop: threading.Event, symbols: Callable[[], Mapping[str, str]], news: Callable[[News], None]
    ) -> None:
        """Connect for ever with back-off. `StreamBack` comes after each subscription, before what follows it."""
        wait = FIRST_WAIT_S
        while not stop.is_set():
            self._symbols = symbols()
            if not self._symbols:
                stop.wait(FIRST_WAIT_S)
                continue
            try:
                with connect(self._url, open_timeout=5.0, close_timeout=1.0, max_size=2**22, proxy=None) as socket:
                    self._login(socket)
                    log.info("private stream subscribed", topics=TOPICS)
                    wait = FIRST_WAIT_S
                    news(StreamBack())
                    self._listen(socket, stop, news)
            except (OSError, WebSocketException, StreamRefused, TimeoutError) as error:
                log.warning("private stream lost", reason=f"{type(error).__name__}: {error}", again_in_s=wait)
            if stop.wait(wait):
                return
            wait = min(2 * wait, LONGEST_WAIT_S)

    def _login(self, socket: ClientConnection) -> None:
        expires = self._venue_time(self._clock()) // MS + 10_000
        signature = stream_signature(self._credentials, expires)
        self._ask(socket, {"op": "auth", "args": [self._credentials.key, expires, signature]})
        self._ask(socket, {"op": "subscribe", "args": list(TOPICS)})

    @staticmethod
    def _ask(socket: ClientConnection, request: dict[str, Any]) -> None:
        socket.send(msgspec.json.encode(request), text=True)
        while True:
            answer = msgspec.json.decode(socket.recv(timeout=5.0))
            if answer.get("op") == request["op"]:
                break
        if not answer.get("success"):
            raise StreamRefused(f"{request['op']}: {answer.get('ret_msg')}")

    def _listen(self, socket: ClientConnection, stop: threading.Event, news: Callable[[News], None]) -> None:
        heard = pinged = time.monotonic()
        while not stop.is_set():
            try:
                frame = socket.recv(timeout=0.25)
            except TimeoutError:
                frame = None
            now = time.monotonic()
            if frame is not None:
                heard = now
                for one in self.news_of(frame):
                    news(one)
            if now - pinged >= PING_S:
                socket.send('{"op":"ping"}')
                pinged = now
            if now - heard > SILENCE_S:
                raise StreamRefused(f"nothing heard for {SILENCE_S} s")

    def news_of(self, frame: str | bytes) -> Iterator[News]:
        """What a frame says, in its order. A row that cannot be read is logged; reconciliation finds what it said."""
        try:
            message = msgspec.json.decode(frame)
            topic, rows = str(message.get("topic", "")), message.get("data", [])
        except (msgspec.DecodeError, AttributeError) as error:
            log.error("a frame that is no message", error=str(error))
            return
        kind = topic.split(".", 1)[0]
        if kind not in {"order", "execution"} or not isinstance(rows, list):
            return
        for row in rows:
            try:
                one = self._row(kind, row)
            except (UnknownMessage, ValueError, TypeError, AttributeError) as error:
                log.error("a row that cannot be read", topic=topic, error=str(error))
                continue
            if one is not None:
                yield one

    def _row(self, kind: str, row: Mapping[str, Any]) -> News | None:
        instrument = self._symbols.get(str(row.get("symbol", "")))
        if instrument is None or row.get("category", self._category) != self._category:
            return None
        if kind == "order":
            return OrderNews(str(row.get("orderLinkId", "")), report_of(row))
        fill = fill_of(row, instrument)
        return None if fill is None else FillNews(fill)
