"""A folder and a bucket are the same to whoever reads and writes an archive."""

from __future__ import annotations

import random
import threading

import pytest

from libs.wire.archive import ArchiveDamaged, ArchivedRecord, ArchiveReader, ArchiveWriter, archived_until
from libs.wire.bucket import MOST_BYTES, Bucket
from libs.wire.places import PlaceAway, PlaceProblem, open_place
from libs.wire.progress import Progress, SessionProgress, read_progress, write_progress
from services.archive.adapters.one_writer import Taken, one_writer
from services.archive.adapters.parquet_files import ArchiveProblem, ParquetFiles
from services.archive.domain import Partition
from tests.builders.object_store import ObjectStore, Spot

TOPIC = "market.events"


def records(offsets: range, partition: int = 0, size: int = 10) -> list[ArchivedRecord]:
    chance = random.Random(offsets.start)
    return [ArchivedRecord(TOPIC, partition, offset, 1, b"key", chance.randbytes(size)) for offset in offsets]


def test_records_come_back_in_order_and_files_are_listed_by_topic(spot: Spot) -> None:
    place, wanted = spot.place, [*records(range(5)), *records(range(5, 9)), *records(range(3), 2)]
    assert (ArchiveReader(place).topics(), list(ArchiveReader(place).records(TOPIC))) == ([], [])
    for run in (wanted[:5], wanted[5:9], wanted[9:]):
        ArchiveWriter(place).write(run)
    reader = ArchiveReader(place)
    assert list(reader.records(TOPIC)) == wanted
    assert list(reader.records(TOPIC, 0, 6)) == wanted[6:9]
    assert reader.topics() == [TOPIC]
    assert {number: end.next_offset for number, end in reader.ends(TOPIC).items()} == {0: 9, 2: 3}


def test_a_file_is_never_replaced_by_other_records_and_stays_when_it_is_the_same(spot: Spot) -> None:
    writer = ArchiveWriter(spot.place)
    [before] = writer.write(records(range(5)))
    assert writer.write(records(range(5))) == [before]
    with pytest.raises(FileExistsError, match=spot.address):
        writer.write(records(range(4)))
    assert list(ArchiveReader(spot.place).records(TOPIC)) == records(range(5))


def test_what_is_read_while_it_is_replaced_is_one_whole_version(spot: Spot) -> None:
    place, over = spot.place, threading.Event()

    def version(size: int) -> bytes:
        return bytes([size % 251]) * size

    def replace() -> None:
        for size in range(2, 1_000_000):
            if over.is_set():
                return
            place.write("progress.json", version(size))

    place.write("progress.json", version(1))
    writer = threading.Thread(target=replace)
    writer.start()
    try:
        for _ in range(50):
            data = place.read("progress.json")
            assert data is not None
            assert data == version(len(data))
    finally:
        over.set()
        writer.join()


def test_files_that_overlap_are_named(spot: Spot) -> None:
    writer = ArchiveWriter(spot.place)
    writer.write(records(range(5)))
    writer.write(records(range(3, 7)))
    with pytest.raises(ArchiveDamaged, match="offsets 3 to 4 are there twice"):
        ArchiveReader(spot.place).ends(TOPIC)
    with pytest.raises(ArchiveDamaged, match="offsets 3 to 4 are there twice"):
        list(ArchiveReader(spot.place).records(TOPIC))


def test_a_file_that_is_no_parquet_is_named(spot: Spot) -> None:
    [file] = ArchiveWriter(spot.place).write(records(range(5)))
    spot.place.write(file.name, b"PAR1 or so")
    with pytest.raises(ArchiveDamaged, match=rf"{spot.address}/{file.name} cannot be opened"):
        list(ArchiveReader(spot.place).records(TOPIC))


def test_progress_is_replaced_at_once_and_read_back(spot: Spot) -> None:
    assert read_progress(spot.place) is None
    for until in (5, 9):
        write_progress(spot.place, Progress({(TOPIC, 1): until}, {("i", "s"): SessionProgress(until, 1, 1, False)}))
        assert archived_until(spot.place, "i", "s") == until


def test_there_is_one_writer(spot: Spot) -> None:
    stop = threading.Event()
    first, second = one_writer(spot.place, 0.0), one_writer(spot.place, 0.0)
    first.take(stop)
    first.check()
    try:
        second.take(stop)
    except Taken:
        return  # a folder's lock keeps the second one out
    second.check()
    with pytest.raises(Taken, match="names another writer"):
        first.check()
    second.release()


def test_a_writer_notices_that_its_last_file_was_changed_or_deleted(spot: Spot) -> None:
    part, place = Partition(TOPIC, 0), spot.place
    files = an_archive(spot)
    files.write(part, records(range(3)))
    [name] = place.names(TOPIC)
    place.write(f"{TOPIC}/{name}", b"something else")
    with pytest.raises(ArchiveProblem, match="has 14 bytes now, not"):
        files.write(part, records(range(3, 6)))
    files.close()


def test_a_file_where_the_next_one_belongs_ends_the_writer_and_is_kept(spot: Spot) -> None:
    part = Partition(TOPIC, 0)
    files = an_archive(spot)
    files.write(part, records(range(3)))
    ArchiveWriter(spot.place).write(records(range(3, 9)))  # of another writer
    with pytest.raises(ArchiveProblem, match="another archive wrote it"):
        files.write(part, records(range(3, 5)))
    files.close()
    again = an_archive(spot)
    assert again.next_offset(part) == 9
    again.close()


def an_archive(spot: Spot) -> ParquetFiles:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in spot.environment.items():
            patch.setenv(name, value)
        files = ParquetFiles(spot.address, 0.0)
    files.open(threading.Event())
    return files


def test_a_run_too_large_for_one_request_becomes_several_files(object_store: ObjectStore) -> None:
    spot = Spot(object_store.new_bucket(), object_store.environment())
    run = records(range(10), size=3_000_000)
    files = ArchiveWriter(spot.place).write(run)
    assert len(files) == 4
    assert all(file.size <= MOST_BYTES for file in files)
    assert ArchiveWriter(spot.place).write(run) == files
    assert list(ArchiveReader(spot.place).records(TOPIC)) == run


@pytest.mark.parametrize("passed", [0, 100, 100_000, 3_000_000])
def test_a_line_cut_in_the_middle_of_a_file_leaves_nothing_of_it(passed: int, own_store: ObjectStore) -> None:
    spot, run = Spot(own_store.new_bucket(), own_store.environment()), records(range(2), size=3_000_000)
    own_store.cut_after(passed)
    with pytest.raises(PlaceAway, match=f"at {own_store.endpoint} does not answer") as said:
        ArchiveWriter(spot.place).write(run)
    assert said.value.reason == "away"
    own_store.mend()
    assert list(ArchiveReader(spot.place).records(TOPIC)) == []
    ArchiveWriter(spot.place).write(run)
    assert list(ArchiveReader(spot.place).records(TOPIC)) == run


@pytest.mark.parametrize("address", ["gs://bucket/x", "S3://bucket/x", "", "s3:/bucket", "file:///x"])
def test_what_is_neither_a_folder_nor_a_bucket_is_refused(address: str) -> None:
    with pytest.raises(PlaceProblem, match="name a folder, or s3://bucket/prefix"):
        open_place(address, {})


@pytest.mark.parametrize("address", ["s3://", "s3://B_u", "s3://bucket//x", "s3://bucket/x?y=1"])
def test_a_bucket_address_with_a_mistake_is_refused(address: str) -> None:
    with pytest.raises(PlaceProblem, match="wanted s3://bucket/prefix"):
        open_place(address, {})


def test_an_endpoint_without_a_scheme_is_refused() -> None:
    with pytest.raises(PlaceProblem, match="AWS_ENDPOINT_URL is 'minio:9000': wanted http://HOST:PORT"):
        open_place("s3://bucket/x", {"AWS_ENDPOINT_URL": "minio:9000"})


@pytest.mark.parametrize(
    ("client_said", "told"),
    [
        (
            "ACCESS_DENIED during HeadBucket operation: No response body.",
            "s3://b/p at AWS refuses HeadBucket: ACCESS_DENIED",
        ),
        (
            "NO_SUCH_BUCKET during PutObject operation: The specified bucket does not exist",
            "s3://b/p: no bucket 'b' at AWS",
        ),
        ("UNKNOWN (HTTP status 301) during HeadBucket operation: No response body.", "check AWS_REGION"),
    ],
)
def test_what_a_person_has_to_change_is_said(client_said: str, told: str) -> None:
    refuses = Refusing(f"When doing something: AWS Error {client_said}")
    with pytest.raises(PlaceProblem, match=told):
        Bucket(refuses, "b", "p", "AWS", has_key=True).check()


@pytest.mark.parametrize(
    "code", ["SLOW_DOWN", "UNKNOWN (HTTP status 503)", "INTERNAL_FAILURE", "UNKNOWN (HTTP status 429)"]
)
def test_what_passes_by_itself_is_waited_for(code: str) -> None:
    with pytest.raises(PlaceAway, match="s3://b/p at AWS does not answer"):
        Bucket(Refusing(f"AWS Error {code} during PutObject operation: "), "b", "p", "AWS", has_key=True).check()


def test_without_keys_it_says_so() -> None:
    refuses = Refusing("AWS Error ACCESS_DENIED during ListObjectsV2 operation: Access Denied")
    with pytest.raises(
        PlaceProblem, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set; set them, or"
    ):
        Bucket(refuses, "b", "p", "AWS", has_key=False).check()


class Refusing:
    """A client that a store answers so."""

    def __init__(self, said: str) -> None:
        self._said = said

    def get_file_info(self, _: str) -> None:
        raise OSError(self._said)
