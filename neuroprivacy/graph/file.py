"""NIR files. Reading is checked: what comes back is a graph with finite numbers, or a named refusal."""

from __future__ import annotations

import tempfile
from dataclasses import fields
from pathlib import Path

import h5py
import nir
import numpy as np

from neuroprivacy.errors import BadFile
from neuroprivacy.storage import write_bytes

#: A larger file is refused unread.
MAX_FILE_BYTES = 2 * 2**30
_POSITIVE = ("tau", "tau_mem", "tau_syn", "r")


def save_nir(graph: nir.NIRGraph, path: Path) -> Path:
    """Write a graph in one step."""
    with tempfile.TemporaryDirectory(prefix="neuroprivacy-nir-") as scratch:
        written = Path(scratch) / "graph.nir"
        nir.write(written, graph)
        write_bytes(path, written.read_bytes())
    return path


def load_nir(path: Path) -> nir.NIRGraph:
    """Read a graph.

    Raises:
        BadFile: the file is missing, too large, not NIR, or holds values that no network can have.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})") from error
    if size > MAX_FILE_BYTES:
        raise BadFile(path, f"has {size} bytes, the limit is {MAX_FILE_BYTES}")
    if not path.is_file() or not h5py.is_hdf5(path):
        raise BadFile(
            path, "is not a NIR file (NIR files are HDF5)", hint="export one with: neuroprivacy export --backend nir"
        )
    try:
        # nir 1.0.8 infers wrong shapes for kernels that are not square and for groups, and refuses good files over it.
        graph = nir.read(path, type_check=False)
        if isinstance(graph, nir.NIRGraph):
            graph.validate_structure()
    except Exception as error:  # nir raises ten different types on damaged files
        raise BadFile(path, f"is not a NIR graph ({type(error).__name__}: {error})") from error
    if not isinstance(graph, nir.NIRGraph):
        raise BadFile(path, f"holds a {type(graph).__name__}, not a graph")
    for name, node in graph.nodes.items():
        _check_node(path, name, node)
    return graph


def _check_node(path: Path, name: str, node: nir.NIRNode) -> None:
    """Finite numbers; positive time constants and gains."""
    for field in fields(node):
        value = getattr(node, field.name)
        if not isinstance(value, np.ndarray):
            continue
        if value.dtype.kind not in "iufb":
            raise BadFile(path, f"{name}: {field.name} holds {value.dtype}, not numbers")
        if not np.isfinite(value).all():
            raise BadFile(path, f"{name}: {field.name} holds a value that is not finite")
        if field.name in _POSITIVE and value.size and value.min() <= 0:
            raise BadFile(path, f"{name}: {field.name} ({value.min()}) is not positive")
