"""Reading a raw file whole, but never more of it than its format can need."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from neuroprivacy.core.errors import BadFile

#: A data file may hold this many bytes, uncompressed. Chosen: five times the largest file of the known sets
#: (CIFAR-100's train.bin, 153.7 MB), with room for sets of one's own in the same formats.
MAX_FILE_BYTES = 2**30
_CHUNK_BYTES = 2**20


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file for reading; pipes and devices, which may never end, are refused.

    Raises:
        BadFile: the file is missing, unreadable or not a regular file.
    """
    try:
        if path.exists() and not path.is_file():
            raise BadFile(path, "is not a regular file")
        stream = path.open("rb")
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror or error})") from error
    with stream:
        yield stream


def read_at_most(stream: BinaryIO, count: int) -> bytes:
    """The next `count` bytes, or fewer where the stream ends; memory grows with what is really there."""
    kept = bytearray()
    while len(kept) < count:
        chunk = stream.read(min(_CHUNK_BYTES, count - len(kept)))
        if not chunk:
            break
        kept += chunk
    return bytes(kept)


def read_records(path: Path, *, record_bytes: int, limit_bytes: int = MAX_FILE_BYTES) -> bytes:
    """The bytes of a file that is nothing but records of `record_bytes` bytes each.

    Returns:
        At least one record, and no part of one.

    Raises:
        BadFile: the file cannot be read, is empty, ends within a record, or is larger than `limit_bytes`.
    """
    with open_regular(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > limit_bytes:
            raise BadFile(path, f"holds {size} bytes, the limit is {limit_bytes}")
        try:
            payload = read_at_most(stream, limit_bytes + 1)
        except OSError as error:
            raise BadFile(path, f"cannot be read ({error.strerror or error})") from error
    if not payload:
        raise BadFile(path, "is empty")
    if len(payload) % record_bytes:
        raise BadFile(path, f"holds {len(payload)} bytes, which is no multiple of the record's {record_bytes}")
    return payload
