"""Compiled kernels inside an image: made once while it is built, found at every start, also on a read-only root.

`python -m infra.kernels` compiles into NUMBA_CACHE_DIR; NUMBA_CACHE_LOCATOR_CLASSES names `BakedKernels`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from numba.core.caching import UserProvidedCacheLocator

from libs.trading.features.catalogue import full_spec
from libs.trading.features.engine import compile_kernels
from libs.trading.market import NS_PER_SECOND


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


def main() -> int:
    """Compile every kernel for the machine that the environment names."""
    names = ("NUMBA_CACHE_DIR", "NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        print(f"set {', '.join(missing)}: kernels of an image run on another machine than this", file=sys.stderr)
        return 1
    compile_kernels(full_spec(NS_PER_SECOND, NS_PER_SECOND // 4))
    baked = list(Path(os.environ["NUMBA_CACHE_DIR"]).rglob("*.nbc"))
    print(f"{len(baked)} kernels for {os.environ['NUMBA_CPU_NAME']}")
    return 0 if baked else 1


if __name__ == "__main__":
    sys.exit(main())
