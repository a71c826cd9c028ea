"""What keeps a folder from being an archive's place is said, and none of it looks like an empty archive."""

from __future__ import annotations

from pathlib import Path

import pytest

from libs.wire.archive import ArchiveReader
from libs.wire.places import Folder, PlaceProblem

TOPIC = "market.events"


def test_a_folder_that_is_not_there_yet_holds_nothing(tmp_path: Path) -> None:
    place = Folder(tmp_path / "later")
    assert (place.folders(), place.names(TOPIC), place.tidy()) == ([], [], 0)


def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / TOPIC).touch()
    with pytest.raises(PlaceProblem, match=f"{tmp_path}: listing: Not a directory"):
        list(ArchiveReader(tmp_path).records(TOPIC))


def test_only_folders_with_archive_files_are_topics(tmp_path: Path) -> None:
    place = Folder(tmp_path)
    place.write("progress.json", b"{}")
    place.write(f"{TOPIC}/x.parquet", b"")
    place.write("notes/x.txt", b"")
    assert (place.folders(), place.names(TOPIC)) == ([TOPIC], ["x.parquet"])
