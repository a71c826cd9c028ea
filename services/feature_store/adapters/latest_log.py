"""Follows the compacted topic features.latest, so that any replica answers for any instrument."""

from __future__ import annotations

import threading
from collections.abc import Callable

from libs.runtime.kafka import Consumer, Headers, TopicPartition
from libs.runtime.logs import get_logger
from libs.wire.features import decode_vector
from libs.wire.malformed import MalformedMessage
from libs.wire.payload import check_payload
from services.feature_store.adapters.patience import ToldToStop, until_answered
from services.feature_store.domain import Published

LATEST = "features.latest"
POLL_S = 0.2

log = get_logger("latest_log")


class LatestLog:
    """One thread owns it."""

    def __init__(self, open_reader: Callable[[], Consumer], put: Callable[[Published], None]) -> None:
        self._open_reader = open_reader
        self._put = put
        self._caught_up = threading.Event()

    def is_caught_up(self) -> bool:
        """True once what lay on the topic at the start is known; it stays true."""
        return self._caught_up.is_set()

    def run(self, stop: threading.Event) -> None:
        """Until the event is set."""
        reader = self._open_reader()
        try:
            left = until_answered(lambda: self._begin(reader), stop)
            while not stop.is_set():
                if not left:
                    self._caught_up.set()
                for record in reader.poll(POLL_S):
                    part = TopicPartition(record.topic, record.partition)
                    if record.offset + 1 >= left.get(part, record.offset + 2):
                        left.pop(part, None)
                    if record.value is not None:
                        self._take(record.value, record.headers, record.offset)
        except ToldToStop:
            return
        finally:
            reader.close()

    @staticmethod
    def _begin(reader: Consumer) -> dict[TopicPartition, int]:
        """Read from the beginning; returns the ends of what lies there now."""
        parts = reader.partitions_for(LATEST)
        ends, starts = reader.end_offsets(parts), reader.beginning_offsets(parts)
        reader.assign(dict.fromkeys(parts, "earliest"))
        return {part: end for part, end in ends.items() if end > starts[part]}

    def _take(self, message: bytes, headers: Headers, offset: int) -> None:
        try:
            check_payload(LATEST, headers)
            self._put(Published(decode_vector(message), message))
        except MalformedMessage as error:
            log.warning("unreadable vector left out", offset=offset, error=str(error))
