"""NIR files. They come from strangers: what is read is a graph that a network can have, or one clear refusal.

    size cap → child process with limits → look at what the HDF5 declares → own parser → own checks → nir nodes
               (reader_process, reader_worker)    (prescan)                    (parse)     (validate)   (build)

No file can make this process crash, hang, read another file or run anything: HDF5 is never opened here. What is written
passes the same checks, and equal graphs give equal bytes.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import nir
import numpy as np

from neuroprivacy.core.errors import BadFile, ConfigurationError, NeuroPrivacyError
from neuroprivacy.core.storage import write_bytes
from neuroprivacy.graph.build import from_graph, to_graph
from neuroprivacy.graph.fault import Fault, one_line
from neuroprivacy.graph.limits import MAX_FILE_BYTES
from neuroprivacy.graph.reader_process import read_tree
from neuroprivacy.graph.tree import Tree
from neuroprivacy.graph.validate import Checked, validate
from neuroprivacy.graph.write import to_bytes

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def save_nir(graph: nir.NIRGraph, path: Path) -> Path:
    """Write a graph in one step; equal graphs give equal bytes, and `nir.read` reads them.

    A convolution or a Flatten that does not state what it takes gets the shape that the graph gives it: nir needs it.

    Raises:
        ConfigurationError: `load_nir` would not read it back.
    """
    path = Path(path)
    try:
        tree: Tree = {"version": nir.version, "node": from_graph(graph)}
        checked = validate(tree)
    except Fault as fault:
        raise ConfigurationError(f"{path}: cannot be written: {_sentence(fault)}") from fault
    _state_inputs(checked)
    write_bytes(path, to_bytes(tree))
    return path


def load_nir(path: Path) -> nir.NIRGraph:
    """Read a NIR graph from a file.

    Raises:
        BadFile: the file is missing, too large, not NIR, or holds values that no network can have.
    """
    path = Path(path)
    try:
        return to_graph(validate(_read(path)))
    except Fault as fault:
        raise BadFile(path, fault.reason, hint=fault.hint) from fault
    except NeuroPrivacyError:
        raise
    except Exception as error:  # none is known: the fuzzer counts one as a failure
        raise BadFile(path, f"is not a NIR graph ({type(error).__name__}: {one_line(error)})") from error


def _read(path: Path) -> Tree:
    """The tree of a regular file that looks like HDF5; a pipe is not waited for."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise Fault(f"cannot be read ({error.strerror})", kind="file") from error
    except ValueError as error:  # a name with a NUL
        raise Fault("cannot be read (no such name is possible)", kind="file") from error
    try:
        found = os.fstat(file)
        regular = stat.S_ISREG(found.st_mode)
        if regular and found.st_size > MAX_FILE_BYTES:
            raise Fault(f"has {found.st_size} bytes, the limit is {MAX_FILE_BYTES}", kind="size")
        if not regular or os.pread(file, len(_SIGNATURE), 0) != _SIGNATURE:
            raise Fault(
                "is not a NIR file (NIR files are HDF5)", kind="file",
                hint="export one with: neuroprivacy export --backend nir",
            )  # fmt: skip
        return read_tree(file, found.st_size)
    except OSError as error:
        raise Fault(f"cannot be read ({error.strerror})", kind="file") from error
    finally:
        os.close(file)


def _state_inputs(graph: Checked) -> None:
    """Give convolutions and Flatten the input shape that follows from their place."""
    nodes = graph.tree["nodes"]
    for name, node in nodes.items() if isinstance(nodes, dict) else ():
        taken = graph.shapes[name][0]
        if not isinstance(node, dict) or taken is None:
            continue
        if node["type"] in ("Conv1d", "Conv2d"):
            node.setdefault("input_shape", np.array(taken[1:] if node["type"] == "Conv2d" else taken[1]))
        elif node["type"] == "Flatten":
            node.setdefault("input_type", np.array(taken))
    for inner in graph.nested.values():
        _state_inputs(inner)


def _sentence(fault: Fault) -> str:
    return fault.reason + (f"; {fault.hint}" if fault.hint else "")
