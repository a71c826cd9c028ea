"""Where an archive lies: a folder of this machine, or a prefix of a bucket that speaks S3."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from libs.wire.durable import TEMPORARY_SUFFIX, write_durably

_NO_ROOM = {errno.ENOSPC: "full", errno.EDQUOT: "full", errno.EFBIG: "full"}
_PASSING = _NO_ROOM | {errno.EIO: "away", errno.ESTALE: "away", errno.ETIMEDOUT: "away", errno.EAGAIN: "away"}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/")
_PARQUET = ".parquet"


class PlaceAway(Exception):
    """The place does not answer (`reason` "away") or has no room ("full"); the same may work later."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class PlaceProblem(Exception):
    """A place that cannot be used before a person changes something; the message says what."""


class Place(Protocol):
    """Files by name, as `topic/file`. Methods raise PlaceAway and PlaceProblem; `str` is what a person calls it."""

    @property
    def most_bytes(self) -> int | None:
        """How large one file may be; None without a limit."""

    def where(self, name: str) -> str:
        """What a person calls one file."""

    def check(self) -> None:
        """Raises PlaceProblem when there is no such folder or bucket."""

    def folders(self) -> list[str]:
        """The sub-folders that hold archive files, sorted."""

    def names(self, folder: str) -> list[str]:
        """The names of the archive files (`*.parquet`) of one sub-folder."""

    def sizes(self, names: Sequence[str]) -> list[int | None]:
        """Bytes of each file; None where there is none."""

    def read(self, name: str) -> bytes | None:
        """A whole file; None where there is none."""

    def open(self, name: str) -> Any:
        """A pyarrow file for reading anywhere in it. Raises FileNotFoundError."""

    def write(self, name: str, data: bytes) -> None:
        """Make or replace a file: whole or not at all, durable when it returns."""

    def tidy(self) -> int:
        """Remove what a killed writer left half-done; returns how many files."""


Where = Place | Path


def open_place(address: str, environ: Mapping[str, str]) -> Place:
    """`s3://bucket/prefix`, whose endpoint, region and credentials come from the usual AWS_* names in `environ`; or a
    folder, which need not be there yet. Sends nothing. Raises PlaceProblem for an address or settings that are none."""
    if address.startswith("s3://"):
        from libs.wire.bucket import open_bucket

        return open_bucket(address, environ)
    if _SCHEME.match(address) or not address:
        raise PlaceProblem(f"{address!r} is no place for an archive: name a folder, or s3://bucket/prefix")
    return Folder(Path(address))


def place_at(where: Where) -> Place:
    """The folder at a path; a place is returned as it is."""
    return Folder(where) if isinstance(where, Path) else where


class Folder:
    """A folder of this machine."""

    most_bytes = None

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def where(self, name: str) -> str:
        return str(self.path / name)

    def check(self) -> None:
        if not self.path.is_dir():
            raise PlaceProblem(f"{self.path}: no such archive folder")

    def folders(self) -> list[str]:
        return sorted(path.name for path in self._list(self.path) if path.is_dir() and self.names(path.name))

    def names(self, folder: str) -> list[str]:
        return [path.name for path in self._list(self.path / folder) if path.name.endswith(_PARQUET)]

    def _list(self, folder: Path) -> list[Path]:
        """Not with `glob`, to which a folder that may not be read is an empty one."""
        try:
            with self.telling("listing"):
                return list(folder.iterdir())
        except FileNotFoundError:
            return []

    def sizes(self, names: Sequence[str]) -> list[int | None]:
        return [self._size(self.path / name) for name in names]

    def _size(self, path: Path) -> int | None:
        try:
            with self.telling("reading"):
                return path.stat().st_size
        except FileNotFoundError:
            return None

    def read(self, name: str) -> bytes | None:
        try:
            with self.telling("reading"):
                return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def open(self, name: str) -> Any:
        with self.telling("reading"):
            return pa.OSFile(self.where(name))

    def write(self, name: str, data: bytes) -> None:
        path = self.path / name
        with self.telling("writing"):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_durably(path, lambda file: file.write(data))

    def tidy(self) -> int:
        left = [*self.path.glob(f"*{TEMPORARY_SUFFIX}"), *self.path.glob(f"*/*{TEMPORARY_SUFFIX}")]
        with self.telling("tidying"):
            for path in left:
                path.unlink()
        return len(left)

    @contextmanager
    def telling(self, doing: str) -> Iterator[None]:
        """Tell the system's errors as a place's; a file that is not there stays FileNotFoundError."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            said = f"{self.path}: {doing}: {error.strerror or error}"
            if error.errno in _PASSING:
                raise PlaceAway(said, _PASSING[error.errno]) from error
            raise PlaceProblem(said) from error
