"""What librdkafka says of a broker that is away is heard, but not many times a second."""

from __future__ import annotations

import logging

from libs.runtime.kafka_confluent import LOG, SAY_AGAIN_S, Sparingly

REFUSED = "FAIL [a#consumer-{}] [thrd:b:1/bootstrap]: b:1: Connect to ipv4#b:1 failed: Connection refused (after {}ms)"


def said(message: str, at: float) -> logging.LogRecord:
    record = logging.LogRecord("librdkafka", logging.ERROR, "", 0, message, (), None)
    record.created = at
    return record


def test_the_same_is_said_once_a_minute_whichever_client_and_however_long_it_took() -> None:
    sparingly = Sparingly()
    heard = [sparingly.filter(said(REFUSED.format(n % 3, n), at=1000.0 + n)) for n in range(int(SAY_AGAIN_S))]
    assert heard == [True] + [False] * (len(heard) - 1)
    assert sparingly.filter(said(REFUSED.format(1, 1), at=1001.0 + SAY_AGAIN_S))


def test_another_thing_is_said_at_once() -> None:
    sparingly = Sparingly()
    assert sparingly.filter(said(REFUSED.format(1, 1), at=1000.0))
    assert sparingly.filter(said("GETPID [a#producer-1]: Coordinator load in progress: retrying", at=1000.0))


def test_the_librarys_logger_is_sparing() -> None:
    assert any(isinstance(one, Sparingly) for one in LOG.filters)
