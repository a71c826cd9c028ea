"""Plays the venue's session in real time: fast while it is read, then when each step is due."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from services.exchange_simulator.adapters.streams import Streams
from services.exchange_simulator.domain.sessions import State
from services.exchange_simulator.ports import PaperVenue

BATCH = 16  # steps between two looks at the sockets while playing fast
LOOK_S = 0.2  # how long a standing player sleeps at most before it looks at `stop` again


class Player:
    """Advances the venue. `at_once`: the training stretch is played whether or not somebody reads it."""

    def __init__(self, venue: PaperVenue, streams: Streams, at_once: bool, now_ns: Callable[[], int]) -> None:
        self._venue, self._streams, self._at_once, self._now_ns = venue, streams, at_once, now_ns

    async def play(self, stop: threading.Event) -> None:
        while not stop.is_set():
            if self._venue.session.state is State.PLAYING_TRAINING:
                if not self._at_once and not self._streams.is_read:
                    await self._stand(LOOK_S)
                else:
                    await self._fast()
            else:
                await self._due()

    async def _fast(self) -> None:
        """A few steps, then wait for the readers: the slowest sets the pace and nobody misses a frame."""
        venue = self._venue
        venue.begin(self._now_ns())
        self._streams.patient = True
        for _ in range(BATCH):
            venue.advance(self._now_ns())
            if venue.session.state is not State.PLAYING_TRAINING:
                break
        await self._streams.drain()
        await asyncio.sleep(0)

    async def _due(self) -> None:
        self._streams.patient = False
        wait = self._venue.due_s(self._now_ns())
        if wait is None or wait > LOOK_S:
            await self._stand(LOOK_S)
            return
        if wait > 0:
            await asyncio.sleep(wait)
        self._venue.advance(self._now_ns())
        await self._streams.drain()

    async def _stand(self, seconds: float) -> None:
        self._streams.changed.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._streams.changed.wait()
        except TimeoutError:
            return
