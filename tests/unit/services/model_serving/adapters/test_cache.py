"""The cache holds whole bundles by digest, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.model_serving.adapters.cache import BundleCache, CacheProblem

ONE, TWO = "1" * 64, "2" * 64


def test_a_bundle_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path / "models")
    folder = cache.incoming(7)
    (folder / "file").write_text("x")
    assert cache.find(ONE) is None
    kept = cache.keep(folder, ONE)
    assert cache.find(ONE) == kept
    assert (kept / "file").read_text() == "x"
    assert cache.keep(kept, ONE) == kept
    assert (kept / "file").exists()


def test_what_a_broken_download_left_is_gone_at_the_next(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path)
    (cache.incoming(7) / "half").write_text("x")
    assert list(cache.incoming(7).iterdir()) == []


def test_others_are_dropped_and_names_that_are_no_digest_are_never_found(tmp_path: Path) -> None:
    cache = BundleCache(tmp_path)
    for digest in (ONE, TWO):
        cache.keep(cache.incoming(1), digest)
    cache.only(frozenset({TWO}))
    assert cache.find(ONE) is None
    assert cache.find(TWO) is not None
    assert cache.find("..") is None
    assert cache.find("incoming") is None


def test_a_place_that_is_no_folder_is_named(tmp_path: Path) -> None:
    place = tmp_path / "models"
    place.write_text("")
    with pytest.raises(CacheProblem, match=f"File exists: '{place}'; bundles need a folder"):
        BundleCache(place)
