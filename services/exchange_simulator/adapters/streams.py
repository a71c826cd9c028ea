"""Who listens to which topic, and the delivery of frames to them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from itertools import count

import msgspec
from aiohttp import WSMsgType, web

from libs.runtime import metrics
from services.exchange_simulator.adapters.account_shapes import execution_row, order_stream, position_stream, wallet_row
from services.exchange_simulator.adapters.faults import Faults, Kind
from services.exchange_simulator.adapters.public_frames import PublicFrames
from services.exchange_simulator.domain.accounts import Account, Changes
from services.exchange_simulator.domain.instrument import Instrument
from services.exchange_simulator.domain.public import PublicFrame

BACKLOG = 50_000  # frames that a reader may lag behind at rate 1 before it is let go
DIRECT_BYTES = 64 * 1024
STUCK_S = 30.0
PRIVATE_TOPICS = ("order", "execution", "position", "wallet")
Json = dict[str, object]


class Listener:
    """One WebSocket and the topics it wants; `key` is set once it has signed in."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.Transport, name: str) -> None:
        self.socket = socket
        self.name = name
        self.key: str | None = None
        self.topics: set[str] = set()
        self.waiting: deque[bytes] = deque()
        self._transport = transport
        self._flush: asyncio.Task[None] | None = None

    async def deliver(self, patient: bool) -> None:
        """Send what waits. `patient`: a slow reader holds the sender back; else a slow one gets a task of its own."""
        if patient:
            await asyncio.wait_for(
                self._send_all(), STUCK_S
            ) if self._transport.get_write_buffer_size() else await self._send_all()
        elif self._flush is None and self._transport.get_write_buffer_size() < DIRECT_BYTES and len(self.waiting) < 64:
            await self._send_all()
        elif len(self.waiting) > BACKLOG:
            self.drop()
        elif self._flush is None or self._flush.done():
            self._flush = asyncio.create_task(self._send_all())
            self._flush.add_done_callback(self._flushed)

    def drop(self) -> None:
        """Cut the connection; the reader has to come again."""
        self.topics.clear()
        self.waiting.clear()
        self._transport.abort()

    def _flushed(self, task: asyncio.Task[None]) -> None:
        self._flush = None
        if not task.cancelled() and task.exception() is not None:
            self.drop()

    async def _send_all(self) -> None:
        while self.waiting:
            await self.socket.send_frame(self.waiting.popleft(), WSMsgType.TEXT)


class Streams:
    """A `Publisher` over WebSockets. Frames are queued at once and sent by `drain`, in order."""

    def __init__(self, instrument: Instrument, faults: Faults) -> None:
        self.frames = PublicFrames(instrument)
        self.listeners: dict[str, Listener] = {}
        self.changed = asyncio.Event()
        self.patient = True
        self._instrument = instrument
        self._faults = faults
        self._sending = asyncio.Lock()
        self._ids = count(1)
        said = metrics.counter("exchange_simulator_frames_total")
        self._said = {topic: said.labels(topic.split(".")[0]) for topic in self.frames.topics}

    @property
    def is_read(self) -> bool:
        """Whether one listener takes both the book and the trades."""
        wanted = {self.frames.book_topic, self.frames.trades_topic}
        return any(wanted <= listener.topics for listener in self.listeners.values())

    def public(self, frames: Sequence[PublicFrame]) -> None:
        for frame in frames:
            topic, body = self.frames.render(frame)
            if body is not None:
                listening = [listener for listener in self.listeners.values() if topic in listener.topics]
                for listener in listening:
                    listener.waiting.append(body)
                if listening:
                    self._said[topic].inc()

    def private(self, changes: Changes, account: Account, mark: Decimal | None) -> None:
        metrics.counter("exchange_simulator_executions_total").inc(len(changes.executions))
        if not any(listener.key == account.name for listener in self.listeners.values()):
            return
        rows: list[tuple[str, list[Json]]] = [
            *(("execution", [execution_row(execution)]) for execution in changes.executions),
            *(("position", [position_stream(holding, mark)]) for holding in changes.holdings.values()),
            *(("order", [order_stream(order)]) for order in changes.orders),
        ]
        moment = max(
            [o.updated_ms for o in changes.orders] + [h.updated_ms for h in changes.holdings.values()], default=0
        )
        if changes.wallet is not None:
            rows.append(("wallet", [wallet_row(account, self._instrument, mark)]))
        for topic, data in rows:
            self._private_frame(account.name, topic, data, moment)

    async def drain(self) -> None:
        """Send everything that waits; one at a time, so that frames stay in order."""
        async with self._sending:
            for name, listener in list(self.listeners.items()):
                if not listener.waiting:
                    continue
                try:
                    await listener.deliver(self.patient)
                except (ConnectionError, TimeoutError, RuntimeError):
                    listener.drop()
                    self.listeners.pop(name, None)
                    self.changed.set()

    def _private_frame(self, account: str, topic: str, data: list[Json], moment: int) -> None:
        if topic == "order" and self._faults.take(Kind.DROP_ORDERS):
            return
        twice = topic == "execution" and self._faults.take(Kind.DUPLICATE_EXECUTIONS) is not None
        name = f"{account}_{topic}_{next(self._ids)}"
        body = msgspec.json.encode({"id": name, "topic": topic, "creationTime": moment, "data": data})
        for listener in self.listeners.values():
            if listener.key == account and topic in listener.topics:
                listener.waiting.extend([body, body] if twice else [body])
