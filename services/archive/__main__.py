"""Wires the archive and runs it: `python -m services.archive`."""

from __future__ import annotations

import sys

from libs.runtime import logs
from libs.runtime.kafka import open_consumer
from libs.runtime.service import Task, run_service
from services.archive.adapters.log_reader import LogReader
from services.archive.adapters.market_times import times_of
from services.archive.adapters.parquet_files import ParquetFiles
from services.archive.adapters.topics_file import archived_topics
from services.archive.domain import RollPolicy
from services.archive.handlers import Archivist
from services.archive.settings import Settings


def main() -> int:
    settings = Settings.load()
    logs.configure("archive", settings.log_level)
    files = ParquetFiles(settings.folder, settings.takeover_seconds)
    consumer = open_consumer(settings.kafka.config(), "archive")
    archivist = Archivist(files, RollPolicy(settings.roll_rows, settings.roll_seconds, settings.roll_bytes), times_of)
    topics = archived_topics(settings.topics_file)
    reader = LogReader(consumer, files, archivist, topics, accept_holes=settings.accept_holes)
    return run_service(
        "archive",
        grpc_port=settings.grpc_port,
        metrics_port=settings.metrics_port,
        add_servicers=lambda _: (),
        tasks=[Task("archive", reader.run)],
        is_ready=reader.is_ready,
        on_stop=[consumer.close, files.close],
        host=settings.host,
    )


if __name__ == "__main__":
    sys.exit(main())
