"""Compilation. Functions that Python calls are cached on disk, together with the functions that they call."""

from __future__ import annotations

import hashlib
from functools import cache, partial
from pathlib import Path
from typing import Any

from llvmlite import binding
from numba import njit
from numba.core import config
from numba.extending import intrinsic as numba_intrinsic

#: For functions that only compiled functions call: as a call, or inlined.
inner: Any = partial(njit, nogil=True)
inlined: Any = partial(njit, nogil=True, inline="always")
#: For functions that Python calls. Numba invalidates its cache only if the function's own file changes, or a value in
#: its closure. Each function therefore has `sources()` in its closure, which changes with any file.
entry: Any = partial(njit, nogil=True, cache=True)

#: For functions that emit LLVM instructions.
intrinsic: Any = numba_intrinsic


@cache
def sources() -> str:
    """A digest of the source files of all kernels."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), *here.parent.glob("columns.py")]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def machine_features() -> str:
    """Processor features that numba compiles for, "+name" each. Numba caches for each processor separately."""
    settings: Any = config
    if settings.CPU_NAME or settings.CPU_FEATURES:  # as the environment says
        return str(settings.CPU_FEATURES or "")
    return str(binding.get_host_cpu_features().flatten())
