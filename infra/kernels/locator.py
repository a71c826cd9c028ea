"""Where an image keeps its compiled kernels: found at every start, also on a read-only root.

NUMBA_CACHE_LOCATOR_CLASSES names `BakedKernels`; numba imports it while kernels are being imported: it imports none."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from numba.core.caching import UserProvidedCacheLocator


class BakedKernels(UserProvidedCacheLocator):
    """numba uses only a folder that it may write to; where the image's own is not, a copy of it is used.

    So a kernel that was not baked is compiled and kept there, instead of being an error."""

    def ensure_cache_path(self) -> None:
        baked = Path(self._cache_path)
        try:
            baked.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=baked).close()
        except OSError:
            self._cache_path = str(writable_copy(baked))


def writable_copy(baked: Path) -> Path:
    """The folder's copy for this user, made when it is absent; another process may be making it at the same time."""
    place = Path(tempfile.gettempdir()) / f"kernels-{os.getuid()}"
    copy = place / baked.name
    if not copy.exists():
        place.mkdir(mode=0o700, exist_ok=True)
        making = Path(tempfile.mkdtemp(dir=place))
        if baked.exists():
            shutil.copytree(baked, making, dirs_exist_ok=True, copy_function=shutil.copyfile)
        making.chmod(0o700)  # a copied folder is as little writable as the one it was
        try:
            making.rename(copy)
        except OSError:  # the other process was first
            shutil.rmtree(making)
    return copy
