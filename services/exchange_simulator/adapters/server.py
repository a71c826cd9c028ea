"""One event loop in one thread: the player, the sockets and the REST paths on one port."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

from libs.runtime.logs import get_logger
from services.exchange_simulator.adapters.faults import Faults
from services.exchange_simulator.adapters.http_api import HttpApi, Limits
from services.exchange_simulator.adapters.market_api import MarketApi
from services.exchange_simulator.adapters.player import Player
from services.exchange_simulator.adapters.simulator_api import SimulatorApi
from services.exchange_simulator.adapters.stream_api import StreamApi
from services.exchange_simulator.adapters.streams import Streams
from services.exchange_simulator.adapters.trading_api import TradingApi
from services.exchange_simulator.ports import PaperVenue

MAX_BODY = 64 * 1024
log = get_logger("server")


class HttpPortInUse(SystemExit):
    """Another program has the port; the message names the setting."""


@dataclass(frozen=True, slots=True)
class Wire:
    """Where the venue listens and what it allows."""

    host: str
    port: int
    limits: Limits
    faults_allowed: bool
    play_at_once: bool


class Server:
    """Serves one venue until it is told to stop."""

    def __init__(
        self,
        venue: PaperVenue,
        streams: Streams,
        faults: Faults,
        secrets: Mapping[str, str],
        wire: Wire,
        now_ns: Callable[[], int],
    ) -> None:
        self._venue, self._streams, self._faults = venue, streams, faults
        self._secrets, self._wire, self._now_ns = secrets, wire, now_ns
        self._listening = threading.Event()
        self._socket: socket.socket | None = None

    @property
    def is_listening(self) -> bool:
        return self._listening.is_set()

    def bind(self) -> None:
        """Take the port. Raises `HttpPortInUse`."""
        try:
            self._socket = socket.create_server((self._wire.host, self._wire.port))
        except OSError as error:
            taken = f"exchange_simulator: port {self._wire.port} is in use"
            raise HttpPortInUse(f"{taken}; choose another with EXCHANGE_SIMULATOR_HTTP_PORT") from error

    def run(self, stop: threading.Event) -> None:
        """A task for `run_service`: serve and play until `stop`."""
        asyncio.run(self._run(stop))

    async def _run(self, stop: threading.Event) -> None:
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            if self._socket is None:
                raise RuntimeError("bind before run")
            await web.SockSite(runner, self._socket).start()
            self._listening.set()
            log.info(
                "the venue is open", address=f"{self._wire.host}:{self._wire.port}", session=self._venue.session.id
            )
            await Player(self._venue, self._streams, self._wire.play_at_once, self._now_ns).play(stop)
        finally:
            self._listening.clear()
            for listener in list(self._streams.listeners.values()):
                await listener.socket.close()
            await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY, middlewares=[])
        venue, streams, secrets, now_ns = self._venue, self._streams, self._secrets, self._now_ns
        market, trading = MarketApi(venue, streams.frames, now_ns), TradingApi(venue, now_ns)
        HttpApi(market, trading, streams, self._faults, secrets, self._wire.limits, now_ns).add_to(app)
        SimulatorApi(venue, streams, self._faults, self._wire.faults_allowed, now_ns).add_to(app)
        stream = StreamApi(venue, streams, secrets, now_ns)
        app.router.add_get("/v5/public/linear", stream.linear)
        app.router.add_get("/v5/public/spot", stream.spot)
        app.router.add_get("/v5/private", stream.private)
        return app
