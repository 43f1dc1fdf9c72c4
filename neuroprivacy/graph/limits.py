"""How much a NIR file may ask for. All are chosen; tests/graph/test_hostile.py holds files beyond each.

A file of S bytes may declare at most `declared_limit(S)` bytes of arrays: constant neuron parameters compress a
thousand times, so small files get a generous start, and beyond that a file must bring its data along.
"""

from __future__ import annotations

#: A larger file is refused unread.
MAX_FILE_BYTES = 2**30
#: Groups within groups: eight nested graphs and a little metadata.
MAX_DEPTH = 24
#: Graphs within graphs.
MAX_NESTING = 8
#: Groups and datasets of one file.
MAX_OBJECTS = 50_000
#: Axes of one array.
MAX_AXES = 8
#: Bytes of all attributes of one object; NIR uses none.
MAX_ATTRIBUTE_BYTES = 2**16
#: Bytes of all text in a file: names, edges, metadata.
MAX_TEXT_BYTES = 4 * 2**20
#: Bytes of the description that the reading process may send, arrays apart.
MAX_HEADER_BYTES = 32 * 2**20
#: Characters of one name.
MAX_NAME = 200
#: Values that one step of one node may have.
MAX_ELEMENTS = 2**28
#: A stride, padding, dilation or window.
MAX_EXTENT = 2**20
#: Seconds, of the clock and of the processor, for reading one file.
READ_S = 10
#: Seconds of the clock after which the reading process is killed from outside.
KILL_S = 11
#: Seconds of the clock after which the parent gives the whole helper up.
GIVE_UP_S = 13

_FREE_BYTES = 256 * 2**20
_BYTES_PER_FILE_BYTE = 64
_LARGEST_DECLARATION = 2**30


def declared_limit(file_bytes: int) -> int:
    """Bytes of arrays that a file of `file_bytes` may declare."""
    return min(_LARGEST_DECLARATION, _FREE_BYTES + _BYTES_PER_FILE_BYTE * file_bytes)


def memory_limit(file_bytes: int, declared_bytes: int) -> int:
    """Bytes of address space of the process that reads a file: the interpreter, the file twice (its bytes and HDF5's
    copy of them), the arrays that it declares, and as much again for chunks on their way."""
    return 512 * 2**20 + 2 * file_bytes + 2 * declared_bytes
