"""An archive that cannot go on says in one line what a person has to change."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.runtime.kafka import KafkaConfig
from libs.wire.archive import ArchivedRecord, ArchiveWriter
from tests.builders.object_store import ObjectStore, Spot
from tests.builders.processes import ServiceProcess, wait_for
from tests.integration.archive.conftest import an_archive

PREDICTIONS = "predictions"


def ends_saying(service: ServiceProcess, *words: str) -> None:
    service.start()
    assert service.process is not None
    try:
        assert service.process.wait(30) == 1
    finally:
        service.kill()
    for said in words:
        assert said in service.said()
    assert "Traceback" not in service.said()


def damage(spot: Spot, how: str) -> str:
    """Returns what the archive has to say."""
    if how == "progress":
        spot.place.write("progress.json", b"{")
        return f"{spot.address}/progress.json"
    first = 1000 if how == "ahead of the log" else 0
    [file] = ArchiveWriter(spot.place).write([ArchivedRecord(PREDICTIONS, 0, first, 1, b"k", b"v")])
    if how == "ahead of the log":
        return f"{spot.address}: predictions-0: files reach to offset 1000, the log only to -1"
    spot.place.write(file.name, (spot.place.read(file.name) or b"")[:100])
    return f"{spot.address}/{file.name} cannot be opened"


@pytest.mark.parametrize("how", ["a file", "progress", "ahead of the log"])
def test_a_place_that_it_cannot_go_on_from_is_named(service: ServiceProcess, spot: Spot, how: str) -> None:
    ends_saying(service, damage(spot, how), "move")


def test_a_bucket_that_is_not_there_is_named(kafka: KafkaConfig, object_store: ObjectStore, tmp_path: Path) -> None:
    spot = Spot("s3://no-such-bucket/x", object_store.environment())
    words = f"s3://no-such-bucket/x: no bucket 'no-such-bucket' at {object_store.endpoint}"
    ends_saying(an_archive(kafka, spot, tmp_path / "log"), words, "ARCHIVE_FOLDER")


@pytest.mark.parametrize("address", ["gs://bucket", "s3:/bucket/x", "s3://Bucket_/x"])
def test_an_address_that_is_none_is_named(kafka: KafkaConfig, tmp_path: Path, address: str) -> None:
    ends_saying(
        an_archive(kafka, Spot(address, {}), tmp_path / "log"), f"{address!r} is no place", "s3://bucket/prefix"
    )


def test_keys_are_named_when_they_are_wrong_or_may_too_little(
    kafka: KafkaConfig, own_store: ObjectStore, tmp_path: Path
) -> None:
    address = own_store.new_bucket()
    reads = ("s3:GetObject", "s3:ListBucket", "s3:HeadBucket")
    reader, writer = own_store.new_user(*reads), own_store.new_user(*reads, "s3:PutObject")
    own_store.check_keys()
    for name, environment, words in (
        ("wrong", own_store.environment(("wrong", "wrong")), "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("read-only", own_store.environment(reader), "refuses PutObject: ACCESS_DENIED"),
    ):
        ends_saying(an_archive(kafka, Spot(address, environment), tmp_path / name), words, address)
    allowed = an_archive(kafka, Spot(address, own_store.environment(writer)), tmp_path / "writer")
    allowed.start()
    try:
        wait_for(lambda: "waiting for the broker and its topics" in allowed.said(), why="it needs no more than these")
    finally:
        assert allowed.stop() == 0


def test_a_folder_that_cannot_be_is_named(kafka: KafkaConfig, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spot = Spot(str(tmp_path / "file"), {})
    ends_saying(an_archive(kafka, spot, tmp_path / "log"), f"ARCHIVE_FOLDER: {spot.address}: locking: File exists")
