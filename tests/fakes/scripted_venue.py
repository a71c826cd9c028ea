"""A venue whose every frame a test sends itself: it drops, jumps, garbles and refuses on demand."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Coroutine
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self, TypeVar

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from infra.daemon import free_port

T = TypeVar("T")
SYMBOL = "BTCUSDT"
BOOK = f"orderbook.50.{SYMBOL}"


class ScriptedVenue:
    """Answers HTTP and WebSocket on one port, in a thread of its own; its methods are for the test's thread."""

    def __init__(self) -> None:
        self.port = free_port()
        self.announces = True
        self.refuses: set[str] = set()  # topics
        self.snapshots = True  # whether a book subscription is answered by a snapshot
        self.update_id = 100
        self.rate, self.state, self.session = 1.0, "TRADING", "scripted-1"
        self.anchor_ns: int | None = None  # of the session's clock; None: session time is wall time
        self.subscriptions: list[str] = []
        self._connections: set[ServerConnection] = set()
        self._loop = asyncio.new_event_loop()
        self._server: Server | None = None
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._call(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    @property
    def http_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def stream_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}"

    @property
    def listeners(self) -> int:
        return len(self._connections)

    def send(self, frame: bytes | str | dict[str, Any]) -> None:
        """To every connection."""
        text = json.dumps(frame) if isinstance(frame, dict) else frame

        async def out() -> None:
            for connection in list(self._connections):
                await connection.send(text, text=True)

        self._call(out())

    def book(self, *, step: int = 1, snapshot: bool = False, cts: int | None = None) -> int:
        """Send an update whose id is `step` after the last one; returns the id."""
        self.update_id += step
        self.send(self.book_frame("snapshot" if snapshot else "delta", cts))
        return self.update_id

    def trade(self, trade_id: str, at_ms: int | None = None) -> None:
        row = {"T": at_ms or now_ms(), "s": SYMBOL, "S": "Buy", "v": "1", "p": "100", "L": "PlusTick", "i": trade_id}
        self.send({"topic": f"publicTrade.{SYMBOL}", "type": "snapshot", "ts": now_ms(), "data": [row]})

    def announce(self) -> None:
        self.send({"topic": "simulator.sessions", "type": "snapshot", "ts": now_ms(), "data": [self.announcement()]})

    def drop(self) -> None:
        """Cut every connection without a word."""

        async def cut() -> None:
            for connection in list(self._connections):
                connection.transport.abort()

        self._call(cut())

    def book_frame(self, kind: str, cts: int | None = None) -> dict[str, Any]:
        data = {"s": SYMBOL, "b": [["99", "1"]], "a": [["101", "2"]], "u": self.update_id, "seq": self.update_id}
        at = cts or (now_ms() if self.anchor_ns is None else self.anchor_ns // 1_000_000)
        return {"topic": BOOK, "type": kind, "ts": at, "data": data, "cts": at}

    def announcement(self) -> dict[str, Any]:
        anchor = self.anchor_ns if self.anchor_ns is not None else 0
        return {
            "session": self.session,
            "instrument": f"sim.linear.{SYMBOL}",
            "symbol": SYMBOL,
            "category": "linear",
            "provenance": "SIMULATED",
            "state": self.state,
            "clock": {"wall_anchor_ns": 0, "session_anchor_ns": anchor, "rate": self.rate},
            "training_end_ns": 0,
        }

    async def _start(self) -> None:
        self._server = await serve(self._talk, "127.0.0.1", self.port, process_request=self._answer, ping_interval=None)

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close(close_connections=True)
            await self._server.wait_closed()

    def _answer(self, _: ServerConnection, request: Request) -> Response | None:
        if request.path.startswith("/v5/public/"):
            return None
        if request.path == "/simulator/v1/sessions" and self.announces:
            body = json.dumps({"sessions": [self.announcement()]}).encode()
            return Response(HTTPStatus.OK, "OK", Headers({"Content-Length": str(len(body))}), body)
        return Response(HTTPStatus.NOT_FOUND, "Not Found", Headers({"Content-Length": "0"}), b"")

    async def _talk(self, connection: ServerConnection) -> None:
        try:
            async for text in connection:
                await self._operation(connection, json.loads(text))
        except ConnectionClosed:
            pass
        finally:
            self._connections.discard(connection)

    async def _operation(self, connection: ServerConnection, asked: dict[str, Any]) -> None:
        op, topics = asked["op"], asked.get("args", [])
        refused = [topic for topic in topics if topic in self.refuses]
        message = f"error:handler not found,topic:{refused[0]}" if refused else ("pong" if op == "ping" else "")
        answer = {
            "success": not refused,
            "ret_msg": message,
            "conn_id": "c",
            "req_id": asked.get("req_id", ""),
            "op": op,
        }
        await connection.send(json.dumps(answer))
        if op == "subscribe" and not refused:
            self.subscriptions += topics
            self._connections.add(connection)
            if BOOK in topics and self.snapshots:
                await connection.send(json.dumps(self.book_frame("snapshot")))

    def _call(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)


def now_ms() -> int:
    return time.time_ns() // 1_000_000
