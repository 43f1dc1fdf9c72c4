"""Arrays aligned to cache lines. A weight row that straddles two lines takes twice as long to load."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bytes of a cache line.
LINE = 64


def zeros(shape: int | tuple[int, ...], kind: Any) -> NDArray[Any]:
    """Zeros, as numpy makes them, at an address that is a multiple of LINE."""
    sizes = (shape,) if isinstance(shape, int) else shape
    kind = np.dtype(kind)
    size = math.prod(sizes) * kind.itemsize
    memory = np.zeros(size + LINE, np.uint8)
    begin = -memory.ctypes.data % LINE
    array: NDArray[Any] = memory[begin : begin + size].view(kind).reshape(sizes)
    return array
