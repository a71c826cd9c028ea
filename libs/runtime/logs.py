"""Structured logs: one JSON object a line on stderr."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import FilteringBoundLogger, Processor


def configure(service: str, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Set up logging of this process once; `level` is a standard level's name. Libraries' warnings come as JSON too."""
    number = logging.getLevelNamesMapping()[level.upper()]
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    to_json = structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[*shared, to_json],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(service=service)
    handler = logging.StreamHandler(stream)
    chain = [*shared, structlog.stdlib.add_logger_name]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(to_json, foreign_pre_chain=chain))
    logging.basicConfig(level=max(number, logging.WARNING), handlers=[handler], force=True)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger that adds its name; use `log.info("what happened", instrument=..., offset=...)`."""
    logger: FilteringBoundLogger = structlog.get_logger(at=name)
    return logger
