"""Logs are one JSON object a line."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from libs.runtime import logs


@pytest.fixture(autouse=True)
def _forget_configuration() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def test_a_line_is_json_with_service_place_level_and_values() -> None:
    stream = io.StringIO()
    log = logs.get_logger("router")
    logs.configure("order_routing", "INFO", stream)
    log.info("order sent", instrument="bybit.linear.BTCUSDT", offset=7)
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "order sent",
        "level": "info",
        "service": "order_routing",
        "at": "router",
        "instrument": "bybit.linear.BTCUSDT",
        "offset": 7,
    }


def test_what_is_below_the_level_is_not_written() -> None:
    stream = io.StringIO()
    logs.configure("order_routing", "WARNING", stream)
    logs.get_logger("router").info("quiet")
    assert stream.getvalue() == ""


def test_an_exception_comes_with_its_traceback() -> None:
    stream = io.StringIO()
    logs.configure("order_routing", "INFO", stream)
    try:
        raise ValueError("price")
    except ValueError:
        logs.get_logger("router").exception("failed")
    assert "ValueError: price" in json.loads(stream.getvalue())["exception"]


def test_a_library_s_warning_is_json_too() -> None:
    stream = io.StringIO()
    logs.configure("order_routing", "INFO", stream)
    logging.getLogger("kafka.net").warning("Connection %s failed", "a")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["logger"], line["service"]) == ("Connection a failed", "kafka.net", "order_routing")
