"""What is not Bybit's: the announcement of what is played, the word to go on, faults on demand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from aiohttp import web

from services.exchange_simulator.adapters.faults import Faults, Kind
from services.exchange_simulator.adapters.public_frames import session_json
from services.exchange_simulator.adapters.streams import Streams
from services.exchange_simulator.ports import PaperVenue


class SimulatorApi:
    """Paths under /simulator/v1. Without `faults_allowed` the faults answer 403."""

    def __init__(
        self, venue: PaperVenue, streams: Streams, faults: Faults, faults_allowed: bool, now_ns: Callable[[], int]
    ) -> None:
        self._venue, self._streams, self._faults = venue, streams, faults
        self._faults_allowed, self._now_ns = faults_allowed, now_ns

    def add_to(self, app: web.Application) -> None:
        app.router.add_get("/simulator/v1/sessions", self._sessions)
        app.router.add_post("/simulator/v1/sessions/{id}/go", self._go)
        app.router.add_get("/simulator/v1/faults", self._pending)
        app.router.add_post("/simulator/v1/faults", self._add_fault)
        app.router.add_delete("/simulator/v1/faults", self._forget)

    async def _sessions(self, _: web.Request) -> web.Response:
        return _json({"sessions": [session_json(self._venue.session)]})

    async def _go(self, request: web.Request) -> web.Response:
        if request.match_info["id"] != self._venue.session.id:
            return _json({"error": f"no session {request.match_info['id']}, this is {self._venue.session.id}"}, 404)
        if not self._venue.go(self._now_ns()):
            return _json({"error": f"the session does not wait, it is {self._venue.session.state.value}"}, 409)
        self._streams.changed.set()
        asyncio.get_running_loop().create_task(self._streams.drain())
        return _json(session_json(self._venue.session))

    async def _pending(self, _: web.Request) -> web.Response:
        return _json({"faults": self._faults.pending})

    async def _add_fault(self, request: web.Request) -> web.Response:
        if not self._faults_allowed:
            return _json({"error": "faults are off here; a setting allows them"}, 403)
        try:
            fault = self._faults.add(await request.read())
        except (msgspec.MsgspecError, ValueError) as error:
            return _json({"error": str(error)}, 400)
        if self._faults.take(Kind.DROP_STREAMS):
            for listener in list(self._streams.listeners.values()):
                listener.drop()
        return _json(fault)

    async def _forget(self, _: web.Request) -> web.Response:
        self._faults.pending.clear()
        return _json({"faults": []})


def _json(body: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json", status=status)
