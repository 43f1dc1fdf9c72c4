"""What the reading process sends: a description in JSON, then the bytes of the arrays. Never a pickle.

    8 bytes   length of the description, little endian
    JSON      {"tree": ..., "arrays": [[dtype, shape], ...]}  or  {"fault": [reason, hint, kind]}
    bytes     the arrays, one after the other

In the tree an array stands as {"": index}. The receiver believes nothing: a crash may have let the file's author write
the message.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.graph.fault import Fault, Kind, one_line
from neuroprivacy.graph.limits import MAX_AXES, MAX_HEADER_BYTES, MAX_OBJECTS
from neuroprivacy.graph.tree import NUMBERS, Leaf, Tree

#: Gives exactly that many bytes, or fills the given array, or raises Fault.
ReadBytes = Callable[[int], bytes]
ReadInto = Callable[[NDArray[Any]], None]
_LENGTH = struct.Struct("<Q")
_DTYPES = {dtype.str: dtype for dtype in NUMBERS}


def pack_tree(tree: Tree) -> tuple[bytes, list[NDArray[Any]]]:
    """The head of a message and the arrays that follow it."""
    arrays: list[NDArray[Any]] = []

    def described(value: Leaf | Tree) -> Any:
        if isinstance(value, dict):
            return {name: described(below) for name, below in value.items()}
        if isinstance(value, np.ndarray):
            arrays.append(value)
            return {"": len(arrays) - 1}
        return value

    head = {"tree": described(tree), "arrays": [[a.dtype.str, list(a.shape)] for a in arrays]}
    return _packed(head), arrays


def pack_fault(fault: Fault) -> bytes:
    """A message that reports a refused file."""
    return _packed({"fault": [fault.reason, fault.hint, fault.kind]})


def _packed(value: object) -> bytes:
    payload = json.dumps(value).encode()
    return _LENGTH.pack(len(payload)) + payload


def unpack(read: ReadBytes, read_into: ReadInto, *, limit_bytes: int) -> Tree:
    """Decode a message to the tree that it carries.

    Raises:
        Fault: the message refuses, or is not one.
    """
    (length,) = _LENGTH.unpack(read(_LENGTH.size))
    if length > MAX_HEADER_BYTES:
        raise _nonsense(f"a description of {length} bytes")
    try:
        head = json.loads(read(length))
        if "fault" in head:
            reason, hint, kind = (one_line(text, 500) for text in head["fault"])
            raise Fault(reason, hint=hint, kind=next((k for k in get_args(Kind) if k == kind), "hdf5"))
        arrays = [_array(*described) for described in _bounded(head["arrays"], limit_bytes)]
        for array in arrays:
            read_into(array)
        tree = _with_arrays(head["tree"], arrays)
    except (ValueError, TypeError, KeyError, IndexError, RecursionError, OverflowError) as error:
        raise _nonsense(type(error).__name__) from error
    if not isinstance(tree, dict):
        raise _nonsense("no tree")
    return tree


def _bounded(described: Any, limit_bytes: int) -> list[tuple[np.dtype[Any], tuple[int, ...]]]:
    """The dtypes and shapes, none of them yet allocated."""
    if len(described) > MAX_OBJECTS:
        raise ValueError
    found = [(_DTYPES[dtype], tuple(shape)) for dtype, shape in described]
    for _, shape in found:
        if len(shape) > MAX_AXES or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError
    if sum(dtype.itemsize * math.prod(shape) for dtype, shape in found) > limit_bytes:
        raise ValueError
    return found


def _array(dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.empty(shape, dtype)


def _with_arrays(value: Any, arrays: list[NDArray[Any]]) -> Leaf | Tree:
    if isinstance(value, dict):
        if "" in value:
            return arrays[value[""]]
        return {name: _with_arrays(below, arrays) for name, below in value.items()}
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return _texts(value)
    raise TypeError


def _texts(value: list[Any]) -> list[Any]:
    if all(isinstance(item, (str, list)) for item in value):
        return [_texts(item) if isinstance(item, list) else item for item in value]
    raise TypeError


def _nonsense(what: str) -> Fault:
    return Fault(f"is not a NIR graph (reading it went astray: {what})", kind="crash")
