"""The one way to compile a kernel: no Python objects, exact floating point, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Kernel = TypeVar("Kernel", bound=Callable[..., object])


def kernel(function: Kernel) -> Kernel:
    """Compile to machine code at the first call. `fastmath` stays off, so that the same rows give the same bytes."""
    return cast(Kernel, numba.njit(cache=True, fastmath=False, nogil=True, error_model="numpy")(function))
