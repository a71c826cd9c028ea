"""An archive that cannot go on says in one line what a person has to change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.runtime.kafka import KafkaConfig
from libs.wire.archive import ArchivedRecord, ArchiveWriter
from tests.builders.processes import ServiceProcess

PREDICTIONS = "predictions"


@pytest.fixture
def service(kafka_prefix: KafkaConfig, tmp_path: Path) -> Iterator[ServiceProcess]:
    service = ServiceProcess("archive", kafka_prefix, tmp_path / "log", {"FOLDER": str(tmp_path / "archive")})
    yield service
    service.kill()


def damage(folder: Path, how: str) -> str:
    """Returns what the archive has to say."""
    folder.mkdir()
    if how == "a file":
        ArchiveWriter(folder).write([ArchivedRecord(PREDICTIONS, 0, 0, 1, b"k", b"v")])
        [file] = folder.rglob("*.parquet")
        file.write_bytes(file.read_bytes()[:100])
        return f"{file} cannot be opened"
    if how == "progress":
        (folder / "progress.json").write_text("{")
        return str(folder / "progress.json")
    ArchiveWriter(folder).write([ArchivedRecord(PREDICTIONS, 0, 1000, 1, b"k", b"v")])
    return "files reach to offset 1000, the log only to -1"


@pytest.mark.parametrize("how", ["a file", "progress", "ahead of the log"])
def test_a_folder_that_it_cannot_use_is_named(service: ServiceProcess, tmp_path: Path, how: str) -> None:
    words = damage(tmp_path / "archive", how)
    service.start()
    assert service.process is not None
    assert service.process.wait(30) == 1
    assert words in service.said()
    assert "move" in service.said()
    assert "Traceback" not in service.said()
