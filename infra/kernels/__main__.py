"""Compiles every kernel into NUMBA_CACHE_DIR while an image is built: `python -m infra.kernels`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from libs.trading.features.catalogue import full_spec
from libs.trading.features.engine import compile_kernels
from libs.trading.market import NS_PER_SECOND


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
