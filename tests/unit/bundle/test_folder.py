"""Every byte of a bundle is the one that was written, or the bundle is refused by the file's name."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from libs.bundle.acceptance import Accepted, Refused, Trust, judge
from libs.bundle.canonical import BundleError
from libs.bundle.digest import array_digest, bundle_digest, sha256
from libs.bundle.folder import Bundle, attach_report, read_bundle, write_bundle
from libs.bundle.golden import GoldenRows
from libs.bundle.trust import Scope
from tests.builders.bundles import (
    a_bundle,
    a_key_pair,
    a_linear_graph,
    a_manifest,
    golden_inputs,
    linear_probabilities,
    weights,
)

KEYS = a_key_pair()
TRUST = Trust(KEYS.integrity, KEYS.evidence, Scope.SIMULATED)
FILES = (
    "manifest.json",
    "ensemble.onnx",
    "golden.npz",
    "members/linear.json",
    "files.json",
    "report.json",
    "verdicts/integrity.json",
    "verdicts/integrity.sig",
    "verdicts/evidence.json",
    "verdicts/evidence.sig",
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "whole"
    a_bundle(folder)
    return folder


def verdict(folder: Path) -> str:
    """ACCEPTED, or why not."""
    try:
        bundle = read_bundle(folder)
    except BundleError as error:
        return f"BundleError {error}"
    answer = judge(bundle, alias="champion", trust=TRUST, view_problem=None)
    return "ACCEPTED" if isinstance(answer, Accepted) else str(answer)


def test_an_untouched_bundle_is_accepted_and_complete(whole: Path) -> None:
    assert verdict(whole) == "ACCEPTED"
    written = {path.relative_to(whole).as_posix() for path in whole.rglob("*") if path.is_file()}
    assert written == set(FILES)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(FILES), st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_one_changed_byte_anywhere_is_refused(whole: Path, name: str, place: int, change: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "copy"
        shutil.copytree(whole, folder)
        data = bytearray((folder / name).read_bytes())
        data[place % len(data)] ^= change
        (folder / name).write_bytes(data)
        why = verdict(folder)
        assert why != "ACCEPTED", f"{name} byte {place % len(data)}"
        if name in ("ensemble.onnx", "golden.npz", "members/linear.json", "manifest.json"):
            assert why.startswith(f"BundleError {name}: not the file that was written")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FILES), st.integers(min_value=0))
def test_a_cut_file_is_refused(whole: Path, name: str, length: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "copy"
        shutil.copytree(whole, folder)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: length % len(data)])
        assert verdict(folder) != "ACCEPTED"


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_refused(whole: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    (folder / name).unlink()
    why = verdict(folder)
    assert why != "ACCEPTED"
    if name != "report.json":
        assert name in why


@pytest.mark.parametrize("name", ["extra.bin", "members/other.txt", "verdicts/other.json"])
def test_an_unlisted_file_is_refused(whole: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    (folder / name).write_bytes(b"x")
    assert verdict(folder) == f"BundleError {name}: not listed in files.json"


def test_a_link_out_of_the_bundle_is_refused(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    outside = tmp_path / "outside"
    shutil.copy(folder / "ensemble.onnx", outside)
    (folder / "ensemble.onnx").unlink()
    (folder / "ensemble.onnx").symlink_to(outside)
    assert "ensemble.onnx" in verdict(folder)


def test_a_changed_member_with_a_corrected_list_still_misses_the_signature(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    member, listing = folder / "members/linear.json", folder / "files.json"
    before = sha256(member.read_bytes())
    member.write_bytes(b"[]")
    listing.write_bytes(listing.read_bytes().replace(before.encode(), sha256(b"[]").encode()))
    assert verdict(folder).startswith("VERDICT_OF_ANOTHER_BUNDLE")


def test_a_report_that_nobody_signed_is_refused(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(whole, folder)
    attach_report(folder, b'{"report":"a better one"}')
    assert verdict(folder) == "VERDICT_OF_ANOTHER_BUNDLE: report.json is not the report that integrity names"


def test_the_digest_does_not_depend_on_places_times_or_order(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "far" / "away"
    assert a_bundle(first) == a_bundle(second, keys=a_key_pair(7), evidence=False)
    for path in first.rglob("*"):
        os.utime(path, (1, 1))
    assert read_bundle(first).digest == read_bundle(second).digest
    assert a_bundle(tmp_path / "third", seed=43) != read_bundle(first).digest
    assert a_bundle(tmp_path / "fourth", table=weights(3, 2.0)) != read_bundle(first).digest


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    a_bundle(tmp_path / "a")
    a_bundle(tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_parts_that_do_not_fit_are_not_written(tmp_path: Path) -> None:
    table, inputs = weights(3), golden_inputs(3)
    golden = GoldenRows(inputs, linear_probabilities(inputs, table))
    with pytest.raises(BundleError, match="members"):
        write_bundle(tmp_path / "a", a_manifest(), a_linear_graph(table), {"other": b""}, golden)
    narrow = GoldenRows(golden.inputs[:, :2], golden.outputs)
    with pytest.raises(BundleError, match=r"golden\.npz: \(2, 3\)"):
        write_bundle(tmp_path / "b", a_manifest(), a_linear_graph(table), {"linear": b"{}"}, narrow)
    write_bundle(tmp_path / "c", a_manifest(), a_linear_graph(table), {"linear": b"{}"}, golden)
    with pytest.raises(BundleError, match="not empty"):
        write_bundle(tmp_path / "c", a_manifest(), a_linear_graph(table), {"linear": b"{}"}, golden)


def test_a_bundle_without_verdicts_reads_and_believes_nothing(tmp_path: Path) -> None:
    a_bundle(tmp_path / "b", integrity=None, evidence=None)
    bundle: Bundle = read_bundle(tmp_path / "b")
    assert bundle.integrity is None
    assert bundle.report is not None
    assert isinstance(judge(bundle, alias="challenger", trust=TRUST, view_problem=None), Refused)


def test_array_digests_see_type_shape_order_and_every_bit() -> None:
    one = np.array([[1.0, 2.0]], np.float32)
    next_up = np.nextafter(one, np.float32(9))
    others: list[NDArray[np.generic]] = [one.astype(np.float64), one.T, one[:, ::-1], next_up, one[:, :1]]
    assert array_digest(one) == array_digest(np.asfortranarray(one))
    assert array_digest(one) == array_digest(one.astype(">f4"))
    assert len({array_digest(one), *(array_digest(other) for other in others)}) == 6
    assert array_digest(one, one) != array_digest(one)


def test_the_bundle_digest_covers_manifest_graph_and_golden_rows() -> None:
    inputs = golden_inputs(3)
    golden = GoldenRows(inputs, linear_probabilities(inputs, weights(3)))
    fewer = GoldenRows(golden.inputs[1:], golden.outputs[1:])
    digests = {
        bundle_digest(a_manifest(), b"graph", golden),
        bundle_digest(a_manifest(seed=1), b"graph", golden),
        bundle_digest(a_manifest(), b"grapf", golden),
        bundle_digest(a_manifest(), b"graph", fewer),
    }
    assert len(digests) == 4
