"""The IDX format of MNIST: a header of big-endian numbers, then one byte per value, often inside gzip.

    offset 0     0x00 0x00     always
    offset 2     0x08          the type of the values: unsigned byte, the only one read here
    offset 3     n             how many axes
    offset 4     n x uint32    the length of each axis, big endian
    then         the values, last axis fastest; the file ends with the last one

Nothing in a file is believed: the header alone says how much is read, that is capped, and one byte too few or
too many is an error. A gzip file that would unpack to more than its header says is left after one byte of the
excess.

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile
from neuroprivacy.data.binary import MAX_FILE_BYTES, open_regular, read_at_most

UNSIGNED_BYTE = 0x08
#: Chosen: labels have one axis, images three; four leaves room for colour.
MAX_AXES = 4
_GZIP_MAGIC = b"\x1f\x8b"


def read_idx(path: Path, *, limit_bytes: int = MAX_FILE_BYTES) -> NDArray[np.uint8]:
    """Read one IDX file of unsigned bytes, plain or gzip (recognised by its first bytes, not by its name).

    Args:
        path: the file.
        limit_bytes: values that it may declare; a larger declaration is refused unread.

    Returns:
        uint8, the shape that the header states, read-only.

    Raises:
        BadFile: the file is missing, damaged, of another type, too large, too short or too long.
    """
    with open_regular(path) as raw:
        try:
            compressed = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            raw.seek(0)
            if not compressed:
                return _read_stream(raw, path=path, limit_bytes=limit_bytes)
            with gzip.GzipFile(fileobj=raw) as unpacked:
                return _read_stream(unpacked, path=path, limit_bytes=limit_bytes)  # type: ignore[arg-type]
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise BadFile(path, f"is a damaged gzip file ({error})") from error
        except OSError as error:
            raise BadFile(path, f"cannot be read ({error.strerror or error})") from error


def _read_stream(stream: BinaryIO, *, path: Path, limit_bytes: int) -> NDArray[np.uint8]:
    shape = _read_shape(stream, path=path)
    expected = math.prod(shape)
    if expected > limit_bytes:
        raise BadFile(path, f"declares {expected} values, the limit is {limit_bytes}")
    # Asking for one byte more shows trailing bytes, and makes gzip check its checksum.
    payload = read_at_most(stream, expected + 1)
    if len(payload) < expected:
        raise BadFile(path, f"ends after {len(payload)} of the {expected} values that its header declares")
    if len(payload) > expected:
        raise BadFile(path, f"goes on after the {expected} values that its header declares")
    return np.frombuffer(payload, dtype=np.uint8).reshape(shape)


def _read_shape(stream: BinaryIO, *, path: Path) -> tuple[int, ...]:
    magic = read_at_most(stream, 4)
    if len(magic) < 4 or magic[:2] != b"\x00\x00":
        raise BadFile(path, f"is not an IDX file (it begins with {magic.hex(' ') or 'nothing'})")
    if magic[2] != UNSIGNED_BYTE:
        raise BadFile(path, f"holds values of IDX type 0x{magic[2]:02x} where unsigned bytes (0x08) are expected")
    axes = magic[3]
    if not 1 <= axes <= MAX_AXES:
        raise BadFile(path, f"declares {axes} axes where 1 to {MAX_AXES} are expected")
    lengths = read_at_most(stream, 4 * axes)
    if len(lengths) < 4 * axes:
        raise BadFile(path, "ends within its header")
    shape = struct.unpack(f">{axes}I", lengths)
    if 0 in shape:
        raise BadFile(path, f"declares the empty shape {shape}")
    return shape
