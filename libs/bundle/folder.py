"""A bundle as a folder of plain files: written once, read only when every byte is the one that was written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from libs.bundle.canonical import BundleError, from_bytes, to_bytes
from libs.bundle.digest import bundle_digest, sha256
from libs.bundle.golden import GoldenRows
from libs.bundle.manifest import Manifest
from libs.bundle.verdict import SignedVerdict

MANIFEST, GRAPH, GOLDEN, REPORT, FILES = "manifest.json", "ensemble.onnx", "golden.npz", "report.json", "files.json"
INTEGRITY, EVIDENCE = "verdicts/integrity", "verdicts/evidence"
MAX_FILE_BYTES = 512 * 1024 * 1024
_SIGNATURE = re.compile(rb"([0-9a-f]{16}) ([0-9a-f]{128})\n")


@dataclass(frozen=True, slots=True)
class FileList:
    """SHA-256 (hex) of each file by its path inside the bundle; the report and the verdicts name their own digests."""

    bundle_digest: str
    files: Mapping[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """A bundle whose bytes are the ones listed. Nothing is believed yet: that is for `acceptance.judge`.

    `members`: file bytes by member name. `report_digest` is the SHA-256 of report.json, "" without one.
    """

    digest: str
    files_digest: str
    report_digest: str
    manifest: Manifest
    onnx: bytes
    golden: GoldenRows
    members: Mapping[str, bytes]
    report: bytes | None
    integrity: SignedVerdict | None
    evidence: SignedVerdict | None


def write_bundle(
    folder: Path, manifest: Manifest, onnx: bytes, members: Mapping[str, bytes], golden: GoldenRows
) -> str:
    """Write a new bundle without report and verdicts; returns its digest. `members`: file bytes by member name.

    Raises BundleError when the folder is not empty or the parts do not fit each other.
    """
    names = sorted(member.name for member in manifest.members)
    if sorted(members) != names:
        raise BundleError(f"members: files of {sorted(members)}, the manifest names {names}")
    _fit(manifest, golden)
    if folder.exists() and any(folder.iterdir()):
        raise BundleError(f"{folder}: not empty")
    digest = bundle_digest(manifest, onnx, golden)
    contents = {MANIFEST: manifest.to_bytes(), GRAPH: onnx, GOLDEN: golden.to_bytes()}
    contents |= {member.file: members[member.name] for member in manifest.members}
    listed = FileList(digest, {name: sha256(data) for name, data in contents.items()})
    for name, data in {**contents, FILES: to_bytes(listed)}.items():
        _write(folder / name, data)
    return digest


def attach_report(folder: Path, report: bytes) -> str:
    """Put the gate's report beside the bundle; returns its digest, which both verdicts name."""
    _write(folder / REPORT, report)
    return sha256(report)


def attach_verdicts(folder: Path, integrity: SignedVerdict | None, evidence: SignedVerdict | None) -> None:
    """Put the signed verdicts beside the bundle; None leaves what is there."""
    for name, signed in ((INTEGRITY, integrity), (EVIDENCE, evidence)):
        if signed is not None:
            _write(folder / f"{name}.json", signed.payload)
            _write(folder / f"{name}.sig", f"{signed.key_id} {signed.signature.hex()}\n".encode())


def files_digest(folder: Path) -> str:
    """SHA-256 of files.json, which the integrity verdict names."""
    return sha256(_read(folder, FILES))


def read_bundle(folder: Path) -> Bundle:
    """Read, checking every byte against files.json. Raises BundleError naming the missing, changed or unlisted file."""
    listing = _read(folder, FILES)
    listed = from_bytes(FileList, listing, FILES)
    for name in (MANIFEST, GRAPH, GOLDEN):
        if name not in listed.files:
            raise BundleError(f"{FILES}: does not list {name}")
    _no_strangers(folder, set(listed.files))
    contents = {name: _listed(folder, name, digest) for name, digest in listed.files.items()}
    manifest = Manifest.from_bytes(contents[MANIFEST])
    expected = {MANIFEST, GRAPH, GOLDEN, *(member.file for member in manifest.members)}
    if expected != set(listed.files):
        raise BundleError(f"{FILES}: lists {sorted(listed.files)}, the manifest needs {sorted(expected)}")
    golden = GoldenRows.from_bytes(contents[GOLDEN])
    _fit(manifest, golden)
    digest = bundle_digest(manifest, contents[GRAPH], golden)
    if digest != listed.bundle_digest:
        raise BundleError(f"{FILES}: bundle digest {listed.bundle_digest}, its content has {digest}")
    report = _read(folder, REPORT) if (folder / REPORT).exists() else None
    return Bundle(
        digest=digest,
        files_digest=sha256(listing),
        report_digest=sha256(report) if report is not None else "",
        manifest=manifest,
        onnx=contents[GRAPH],
        golden=golden,
        members={member.name: contents[member.file] for member in manifest.members},
        report=report,
        integrity=_signed(folder, INTEGRITY),
        evidence=_signed(folder, EVIDENCE),
    )


def _fit(manifest: Manifest, golden: GoldenRows) -> None:
    expected = (len(manifest.view.names), len(manifest.label.classes))
    found = (golden.inputs.shape[1], golden.outputs.shape[1])
    if found != expected:
        raise BundleError(f"{GOLDEN}: {found} features and classes, the manifest has {expected}")


def _listed(folder: Path, name: str, digest: str) -> bytes:
    data = _read(folder, name)
    if sha256(data) != digest:
        raise BundleError(f"{name}: not the file that was written (SHA-256 differs)")
    return data


def _no_strangers(folder: Path, listed: set[str]) -> None:
    allowed = listed | {FILES, REPORT} | {f"{name}.{end}" for name in (INTEGRITY, EVIDENCE) for end in ("json", "sig")}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or (not path.is_dir() and name not in allowed):
            raise BundleError(f"{name}: not listed in {FILES}")


def _signed(folder: Path, name: str) -> SignedVerdict | None:
    payload, signature = folder / f"{name}.json", folder / f"{name}.sig"
    if not payload.exists() and not signature.exists():
        return None
    parts = _SIGNATURE.fullmatch(_read(folder, f"{name}.sig"))
    if parts is None:
        raise BundleError(f"{name}.sig: no key id and signature")
    return SignedVerdict(_read(folder, f"{name}.json"), bytes.fromhex(parts[2].decode()), parts[1].decode())


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{name}: outside the bundle")
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BundleError(f"{name}: larger than {MAX_FILE_BYTES} bytes")
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f"{name}: {error.strerror}") from error


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
