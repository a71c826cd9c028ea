"""Accepted bundles on the local disk, by digest; a bundle appears there whole or not at all."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

_DIGEST = re.compile(r"[0-9a-f]{64}")


class CacheProblem(SystemExit):
    """The folder cannot be used; a process that does not catch it ends with code 1 and the message."""


class BundleCache:
    """A folder of this process's own: `incoming/<version>` while downloading, `<digest>` once accepted."""

    def __init__(self, folder: Path) -> None:
        """Raises CacheProblem."""
        self._folder = folder
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CacheProblem(f"model_serving: {error}; bundles need a folder that may be written") from error

    def incoming(self, version: int) -> Path:
        folder = self._folder / "incoming" / str(version)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def keep(self, folder: Path, digest: str) -> Path:
        target = self._folder / digest
        if folder != target:
            shutil.rmtree(target, ignore_errors=True)
            folder.replace(target)
        return target

    def find(self, digest: str) -> Path | None:
        folder = self._folder / digest
        return folder if _DIGEST.fullmatch(digest) and folder.is_dir() else None

    def forget(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def only(self, digests: frozenset[str]) -> None:
        for folder in self._folder.iterdir():
            if _DIGEST.fullmatch(folder.name) and folder.name not in digests:
                shutil.rmtree(folder, ignore_errors=True)
