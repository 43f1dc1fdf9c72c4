"""A tree to the bytes of a NIR file. One tree has one form: names are sorted, nothing says when it was written.

The layout is that of nir.write 1.0.8: arrays compressed by gzip, text as UTF-8 of varying length.
"""

from __future__ import annotations

import io
from typing import Any

import h5py
import numpy as np

from neuroprivacy.graph.tree import Leaf, Tree


def to_bytes(tree: Tree) -> bytes:
    """The file of a checked tree; equal trees give equal bytes, in whatever order their names stand."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", track_order=False) as file:
        _write_group(file, tree)
    return stream.getvalue()


def _write_group(group: Any, tree: Tree) -> None:
    for name in sorted(tree):
        value = tree[name]
        if isinstance(value, dict):
            _write_group(group.create_group(name), value)
        else:
            _write_dataset(group, name, value)


def _write_dataset(group: Any, name: str, value: Leaf) -> None:
    if isinstance(value, np.ndarray):
        packing = "gzip" if value.ndim else None
        group.create_dataset(name, data=value, dtype=value.dtype, compression=packing, track_times=False)
    else:
        data = value if isinstance(value, str) else np.array(value, object)
        group.create_dataset(name, data=data, dtype=h5py.string_dtype(), track_times=False)
