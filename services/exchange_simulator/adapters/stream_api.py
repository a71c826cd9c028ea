"""The WebSocket operations: ping, auth, subscribe, unsubscribe, with the venue's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from itertools import count

import msgspec
from aiohttp import WSMsgType, web

from libs.runtime import metrics
from libs.runtime.logs import get_logger
from services.exchange_simulator.adapters.public_frames import SESSIONS_TOPIC, session_frame
from services.exchange_simulator.adapters.signing import stream_key
from services.exchange_simulator.adapters.streams import PRIVATE_TOPICS, Listener, Streams
from services.exchange_simulator.domain.public import SessionFrame
from services.exchange_simulator.ports import PaperVenue

MAX_MESSAGE = 64 * 1024
MAX_ARGS = 200
log = get_logger("streams")
Json = dict[str, object]


class StreamApi:
    """Serves /v5/public/linear, /v5/public/spot (nothing is listed there) and /v5/private."""

    def __init__(
        self, venue: PaperVenue, streams: Streams, secrets: Mapping[str, str], now_ns: Callable[[], int]
    ) -> None:
        self._venue, self._streams, self._secrets, self._now_ns = venue, streams, secrets, now_ns
        self._names = count(1)

    async def linear(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, self._streams.frames.topics, False)

    async def spot(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, frozenset({SESSIONS_TOPIC}), False)

    async def private(self, request: web.Request) -> web.WebSocketResponse:
        return await self._serve(request, frozenset(PRIVATE_TOPICS), True)

    async def _serve(self, request: web.Request, topics: frozenset[str], private: bool) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE, autoping=True)
        await socket.prepare(request)
        transport = request.transport
        if not isinstance(transport, asyncio.Transport):
            return socket
        listener = Listener(socket, transport, f"sim-{next(self._names)}")
        self._streams.listeners[listener.name] = listener
        listeners = metrics.gauge("exchange_simulator_listeners")
        listeners.inc()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    await self._operation(listener, message.data, topics, private)
        except ConnectionError as error:
            log.info("a reader went away", listener=listener.name, reason=str(error))
        finally:
            listeners.dec()
            self._streams.listeners.pop(listener.name, None)
            self._streams.changed.set()
        return socket

    async def _operation(self, listener: Listener, text: str, topics: frozenset[str], private: bool) -> None:
        try:
            asked = msgspec.json.decode(text, type=Json)
        except msgspec.MsgspecError:
            await self._answer(
                listener, {"success": False, "ret_msg": "Invalid JSON", "conn_id": listener.name, "op": ""}
            )
            return
        op, name = str(asked.get("op", "")), str(asked.get("req_id", ""))
        if op == "ping":
            await self._answer(listener, self._pong(listener, name, private))
        elif op == "auth" and private:
            listener.key = stream_key(asked.get("args"), self._secrets, self._now_ns() // 1_000_000)
            words = "" if listener.key else "Params Error: key, expiry or signature is wrong"
            ack = {"success": listener.key is not None, "ret_msg": words, "op": "auth", "conn_id": listener.name}
            await self._answer(listener, ack)
        elif op in ("subscribe", "unsubscribe"):
            await self._change(listener, op, name, asked.get("args"), topics, private)
        else:
            ack = {
                "success": False,
                "ret_msg": f"unknown operation {op}",
                "conn_id": listener.name,
                "req_id": name,
                "op": op,
            }
            await self._answer(listener, ack)

    async def _change(
        self, listener: Listener, op: str, name: str, args: object, topics: frozenset[str], private: bool
    ) -> None:
        wanted = [str(arg) for arg in args] if isinstance(args, list) else []
        if private:
            wanted = [topic.removesuffix(".linear") for topic in wanted]
        unknown = [topic for topic in wanted if topic not in topics]
        problem = ""
        if private and listener.key is None:
            problem = "Request not authorized"
        elif unknown or not wanted or len(wanted) > MAX_ARGS:
            problem = (
                f"error:handler not found,topic:{unknown[0]}" if unknown else "error:args must be a list of topics"
            )
        ack: Json = {"success": not problem, "ret_msg": problem, "op": op, "conn_id": listener.name}
        await self._answer(listener, ack if private else {**ack, "req_id": name})
        if problem:
            return
        if op == "unsubscribe":
            listener.topics.difference_update(wanted)
            return
        fresh = [topic for topic in dict.fromkeys(wanted) if topic not in listener.topics]
        for topic in fresh:
            first = self._first_frame(topic)
            if first is not None:
                listener.waiting.append(first)
            listener.topics.add(topic)
        self._streams.changed.set()
        await self._streams.drain()

    def _first_frame(self, topic: str) -> bytes | None:
        """What a new subscriber needs before the next change."""
        frames = self._streams.frames
        if topic == frames.book_topic:
            book = self._venue.book()
            return frames.book(book) if book.update_id else None
        if topic == frames.ticker_topic:
            return frames.ticker_snapshot()
        if topic == SESSIONS_TOPIC:
            return session_frame(SessionFrame(self._now_ns(), self._venue.session))
        return None

    def _pong(self, listener: Listener, name: str, private: bool) -> Json:
        if private:
            return {"req_id": name, "op": "pong", "args": [str(self._now_ns() // 1_000_000)], "conn_id": listener.name}
        return {"success": True, "ret_msg": "pong", "conn_id": listener.name, "req_id": name, "op": "ping"}

    async def _answer(self, listener: Listener, body: Json) -> None:
        listener.waiting.append(msgspec.json.encode(body))
        await self._streams.drain()
