"""A NIR file as plain values: what the reading process hands over, what is checked, and what is written.

A group is a dict, a dataset of numbers an array (without axes: a scalar), a dataset of text a str, and an array of text
a list of str, nested for more axes. Nothing in a tree can run code or refer to another file.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Leaf: TypeAlias = "NDArray[Any] | str | list[Any]"
Tree: TypeAlias = dict[str, "Leaf | Tree"]
Shape: TypeAlias = tuple[int, ...]

#: What numbers may be: real, of 1 to 8 bytes.
NUMBERS: frozenset[np.dtype[Any]] = frozenset(
    np.dtype(kind)
    for kind in (
        np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64, np.float16,
        np.float32, np.float64,
    )
)  # fmt: skip
