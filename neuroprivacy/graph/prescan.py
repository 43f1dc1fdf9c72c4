"""What an HDF5 file declares, looked at before any data are read. Runs in the reading process only.

A NIR file needs groups, datasets and hard links. Soft and external links, external storage and virtual datasets can
lead to other files or in circles; an object that is linked twice can double at every level; both are refused.
"""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np

from neuroprivacy.graph.fault import Fault, place, shown_name
from neuroprivacy.graph.limits import MAX_ATTRIBUTE_BYTES, MAX_AXES, MAX_DEPTH, MAX_OBJECTS
from neuroprivacy.graph.tree import NUMBERS

_LAYOUTS = (h5py.h5d.COMPACT, h5py.h5d.CONTIGUOUS, h5py.h5d.CHUNKED)
_FILTERS = {
    h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32, h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_LZF,
}  # fmt: skip
_MAX_FILTERS = 4
_TYPE_NAMES = {
    h5py.h5t.COMPOUND: "compound values", h5py.h5t.VLEN: "lists of varying length", h5py.h5t.REFERENCE: "references",
    h5py.h5t.OPAQUE: "opaque bytes", h5py.h5t.ARRAY: "arrays of arrays", h5py.h5t.BITFIELD: "bit fields",
    h5py.h5t.TIME: "times",
}  # fmt: skip
_ANEW = "write the file again with nir.write"

Path = tuple[str, ...]


def prescan(root: Any, *, limit_bytes: int) -> int:
    """Look at everything that hangs below the root group; returns how many bytes of arrays it declares.

    Raises:
        Fault: something is not what a NIR file needs, or declares more than `limit_bytes` in all.
    """
    scan = _Scan(limit_bytes)
    scan.group(root, ())
    return scan.declared


class _Scan:
    """One walk; counts what was declared so far."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.declared = 0
        self.seen: set[Any] = set()

    def group(self, group: Any, path: Path) -> None:
        """Scan an HDF5 group and everything below it."""
        self._object(group, path)
        if len(path) > MAX_DEPTH:
            raise Fault(f"{place(path)}: groups are nested deeper than {MAX_DEPTH}", kind="structure", hint=_ANEW)
        if group.get_num_objs() + len(self.seen) > MAX_OBJECTS:
            raise Fault(f"{place(path)}: the file holds more than {MAX_OBJECTS} objects", kind="size", hint=_ANEW)
        for raw in list(group):
            name = _name(raw, path)
            below = (*path, name)
            if group.links.get_info(raw).type != h5py.h5l.TYPE_HARD:
                raise Fault(
                    f"{place(below)}: is a link to somewhere else, which is not followed",
                    kind="link", hint=_ANEW,
                )  # fmt: skip
            found = h5py.h5o.open(group, raw)
            if isinstance(found, h5py.h5g.GroupID):
                self.group(found, below)
            elif isinstance(found, h5py.h5d.DatasetID):
                self.dataset(found, below)
            else:
                raise Fault(f"{place(below)}: is neither a group nor a dataset", kind="type", hint=_ANEW)

    def dataset(self, dataset: Any, path: Path) -> None:
        """One dataset: where its data are, how they are packed, what they are, how many."""
        self._object(dataset, path)
        where = place(path)
        created = dataset.get_create_plist()
        layout = created.get_layout()
        if layout not in _LAYOUTS:
            raise Fault(f"{where}: is a virtual dataset, which points at other data", kind="link", hint=_ANEW)
        if layout == h5py.h5d.CONTIGUOUS and created.get_external_count():
            raise Fault(f"{where}: keeps its data in another file, which is not read", kind="link", hint=_ANEW)
        space = dataset.get_space()
        if space.get_simple_extent_type() not in (h5py.h5s.SCALAR, h5py.h5s.SIMPLE):
            raise Fault(f"{where}: is empty", kind="type", hint=_ANEW)
        shape = tuple(int(n) for n in space.get_simple_extent_dims())
        if len(shape) > MAX_AXES:
            raise Fault(f"{where}: has {len(shape)} axes, the limit is {MAX_AXES}", kind="size")
        size = self._type(dataset.get_type(), where) * math.prod(shape)
        self._count(size, where)
        if layout == h5py.h5d.CHUNKED:
            self._chunks(created, where)

    def _object(self, found: Any, path: Path) -> None:
        info = h5py.h5o.get_info(found)
        if info.addr in self.seen:
            raise Fault(
                f"{place(path)}: is the same object as another; every one may be linked once", kind="link", hint=_ANEW
            )
        self.seen.add(info.addr)
        if len(self.seen) > MAX_OBJECTS:
            raise Fault(f"{place(path)}: the file holds more than {MAX_OBJECTS} objects", kind="size", hint=_ANEW)
        size = 0
        for index in range(h5py.h5a.get_num_attrs(found)):
            size += int(h5py.h5a.open(found, index=index).get_storage_size())
            if size > MAX_ATTRIBUTE_BYTES or index >= MAX_ATTRIBUTE_BYTES // 64:
                raise Fault(
                    f"{place(path)}: has attributes of more than {MAX_ATTRIBUTE_BYTES} bytes, NIR uses none",
                    kind="size", hint=_ANEW,
                )  # fmt: skip

    def _type(self, type_id: Any, where: str) -> int:
        """Bytes of one element; text of varying length counts as a pointer."""
        kind, size = type_id.get_class(), int(type_id.get_size())
        if kind == h5py.h5t.STRING:
            return size
        if kind in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM):
            dtype = np.dtype(type_id.dtype)
            if kind == h5py.h5t.ENUM and dtype != np.bool_:
                raise Fault(f"{where}: holds enumerated values, not numbers", kind="type")
            if dtype.newbyteorder("=") in NUMBERS and dtype.itemsize == size:
                return size
            raise Fault(f"{where}: holds {dtype.name} values, not numbers of 1 to 8 bytes", kind="type")
        raise Fault(f"{where}: holds {_TYPE_NAMES.get(kind, 'values of an unknown type')}, not numbers", kind="type")

    def _count(self, size: int, where: str) -> None:
        self.declared += size
        if self.declared > self.limit_bytes:
            raise Fault(
                f"{where}: the file declares {self.declared} bytes of arrays, the limit for its size is"
                f" {self.limit_bytes}",
                kind="size", hint="write it again without empty or constant arrays of that size",
            )  # fmt: skip

    def _chunks(self, created: Any, where: str) -> None:
        chunk = math.prod(int(n) for n in created.get_chunk())
        if not 0 < chunk <= self.limit_bytes:
            raise Fault(f"{where}: has chunks of {chunk} elements", kind="size", hint=_ANEW)
        number = created.get_nfilters()
        codes = [int(created.get_filter(index)[0]) for index in range(min(number, _MAX_FILTERS))]
        if number > _MAX_FILTERS or len(set(codes)) < len(codes) or not _FILTERS.issuperset(codes):
            raise Fault(f"{where}: is compressed in a way that is not known here", kind="type", hint=_ANEW)


def _name(raw: bytes, path: Path) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Fault(f"{place(path)}: holds a name that is not UTF-8 ({shown_name(raw)})", kind="structure") from error
