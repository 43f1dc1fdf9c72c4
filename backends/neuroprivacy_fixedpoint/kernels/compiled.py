"""How functions are compiled: those that Python calls are cached on disk, with all that they call."""

from __future__ import annotations

import hashlib
from functools import cache, partial
from pathlib import Path
from typing import Any

from llvmlite import binding
from numba import njit
from numba.core import config
from numba.extending import intrinsic as numba_intrinsic

#: Of functions that only compiled functions call: called, or put in place of the call.
inner: Any = partial(njit, nogil=True)
inlined: Any = partial(njit, nogil=True, inline="always")
#: Of functions that Python calls. Numba watches only the file of the function itself; so each is to name `sources()` in
#: its closure, of which numba compares the values: nothing stale is run after another file was changed.
entry: Any = partial(njit, nogil=True, cache=True)

#: Of functions that write LLVM's instructions.
intrinsic: Any = numba_intrinsic


@cache
def sources() -> str:
    """A digest of all that is compiled here."""
    here = Path(__file__).parent
    files = [*sorted(here.glob("*.py")), *here.parent.glob("columns.py")]
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def machine_features() -> str:
    """What numba compiles for, "+name" for each that there is; it caches for each machine by itself."""
    settings: Any = config
    if settings.CPU_NAME or settings.CPU_FEATURES:  # as the environment says
        return str(settings.CPU_FEATURES or "")
    return str(binding.get_host_cpu_features().flatten())
