"""An HDF5 file to a tree of plain values. Runs in the reading process only, after `prescan`.

`nir.read` is not used: it follows links, allocates what it is told, and crashes on some damaged files.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from neuroprivacy.graph.fault import Fault, one_line, place
from neuroprivacy.graph.limits import MAX_TEXT_BYTES, declared_limit
from neuroprivacy.graph.prescan import prescan
from neuroprivacy.graph.tree import Leaf, Tree

#: What a file must hold at its root; anything else there is left alone, as nir does.
ROOT = ("version", "node")


def parse(content: bytes, *, before_reading: Callable[[int], None] = lambda declared: None) -> Tree:
    """Read the content of a NIR file as a tree of groups and values.

    Args:
        content: the bytes of the file: what is looked at first and what is read then are the same.
        before_reading: is told how many bytes of arrays the file declares, before one of them is read.

    Raises:
        Fault: it is damaged, or `prescan` refuses it.
    """
    try:
        file = h5py.h5f.open_file_image(content)
    except Exception as error:  # h5py raises ten different types on damaged files, and says nothing about this one
        raise Fault(
            "is not a NIR graph (damaged HDF5: its end is missing or its head is wrong)", kind="hdf5",
            hint="copy or export it again",
        ) from error  # fmt: skip
    try:
        root = h5py.h5g.open(file, b"/")
        before_reading(prescan(root, limit_bytes=declared_limit(len(content))))
        reader = _Reader()
        return {name: reader.read(root, name, (name,)) for name in ROOT if name.encode() in root}
    except Fault:
        raise
    except MemoryError as error:
        raise Fault("takes more memory to read than a file of its size may", kind="size") from error
    except RecursionError as error:
        raise Fault("is nested too deeply", kind="structure") from error
    except Exception as error:  # as above
        shown = one_line(error)
        raise Fault(
            f"is not a NIR graph (damaged HDF5: {shown})", kind="hdf5", hint="copy or export it again"
        ) from error


class _Reader:
    """Counts the text that was read so far: what a text takes is known only after it was read."""

    def __init__(self) -> None:
        self.text_bytes = 0

    def read(self, group: Any, name: str, path: tuple[str, ...]) -> Leaf | Tree:
        """The group or dataset `name` in `group`."""
        found = h5py.h5o.open(group, name.encode())
        if isinstance(found, h5py.h5g.GroupID):
            names = sorted(raw.decode("utf-8") for raw in found)
            return {below: self.read(found, below, (*path, below)) for below in names}
        if found.get_type().get_class() == h5py.h5t.STRING:
            return self._text(found, path)
        value = np.asarray(h5py.Dataset(found)[()])
        return np.ascontiguousarray(value, value.dtype.newbyteorder("=")).reshape(value.shape)

    def _text(self, dataset: Any, path: tuple[str, ...]) -> str | list[Any]:
        number = math.prod(dataset.shape)
        if number > MAX_TEXT_BYTES:
            raise Fault(f"{place(path)}: holds {number} texts, which is too many", kind="size")
        value = np.asarray(h5py.Dataset(dataset)[()], object)
        flat = [item if isinstance(item, bytes) else bytes(item) for item in value.reshape(-1)]
        self.text_bytes += sum(map(len, flat))
        if self.text_bytes > MAX_TEXT_BYTES:
            raise Fault(f"{place(path)}: the file holds more than {MAX_TEXT_BYTES} bytes of text", kind="size")
        try:
            texts = np.array([item.decode("utf-8") for item in flat] + [None], object)[:-1]
        except UnicodeDecodeError as error:
            raise Fault(f"{place(path)}: holds text that is not UTF-8", kind="type") from error
        nested: str | list[Any] = texts.reshape(value.shape).tolist()
        return nested
