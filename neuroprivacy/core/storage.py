"""Atomic writing of files, and npz archives that contain arrays alone.

Every file of this library is written to a temporary name in the same folder, flushed, and renamed over the
old one. Arrays travel as npz without pickling; the same arrays give the same bytes.

Files that are read are not trusted: pipes are refused, an array is allocated only after its header was compared with
the size of the archive entry, and every fault is a BadFile.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import stat
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile

#: Arrays of one archive may hold this many bytes in all, uncompressed; a larger declaration is refused unread.
MAX_ARCHIVE_BYTES = 16 * 2**30
#: They may also not exceed this many bytes plus the second number times the file's size: zeros compress a
#: thousandfold, recordings do not. Chosen.
FREE_ARCHIVE_BYTES = 2**30
BYTES_PER_PACKED_BYTE = 200
#: Arrays of one archive. Chosen.
MAX_ARRAYS = 100_000
#: Bytes of one JSON file. Chosen.
MAX_JSON_BYTES = 64 * 2**20
_HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_MAX_HEADER_CHARACTERS = 10_000
#: Time stamp of every entry.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_TEMPORARY = ".partial-"


def write_bytes(path: Path, payload: bytes) -> None:
    """Write a file atomically: after an interrupt it is the old one or the complete new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=_TEMPORARY, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(payload)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write a text file in one step, as UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    """Write JSON in one step: sorted keys, two spaces, so that equal values give equal bytes."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def plain(value: object) -> Any:
    """Convert dataclasses, mappings and sequences to what JSON can hold; other values stay as they are."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def open_file(path: Path) -> io.BufferedReader:
    """Open a regular file for reading.

    Raises:
        BadFile: it is missing, may not be read, or is a folder, pipe or device.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})") from error
    except ValueError as error:  # a name with a NUL
        raise BadFile(path, "cannot be read (no such name is possible)") from error
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise BadFile(path, f"cannot be read ({'Is a directory' if stat.S_ISDIR(mode) else 'it is no regular file'})")
    return open(descriptor, "rb")


def read_bytes(path: Path, *, limit_bytes: int) -> bytes:
    """Read a whole file.

    Raises:
        BadFile: `open_file` refuses it, or it has more than `limit_bytes`.
    """
    with open_file(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        if size > limit_bytes:
            raise BadFile(path, f"has {size} bytes, the limit is {limit_bytes}")
        try:
            return stream.read(limit_bytes)
        except OSError as error:
            raise BadFile(path, f"cannot be read ({error.strerror})") from error


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadFile: the file is missing, too large, is not JSON, or holds something other than an object.
    """
    try:
        value = json.loads(read_bytes(path, limit_bytes=MAX_JSON_BYTES).decode("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: no UTF-8, no JSON, or a number of 5,000 digits
        raise BadFile(path, f"is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise BadFile(path, f"holds a {type(value).__name__} where an object is expected")
    return value


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a compressed npz of `arrays`, in the order of their names; equal arrays give equal bytes.

    As numpy's own writer, but for the headers, where that asks for those of files beyond 2 GiB: versions of Python make
    different ones of them.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            if array.dtype.hasobject:
                raise ValueError(f"array {name!r} holds objects; only numbers and text are written")
            entry = zipfile.ZipInfo(f"{name}.npy", date_time=_NO_TIME)
            entry.compress_type, entry.file_size = zipfile.ZIP_DEFLATED, array.nbytes
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    return stream.getvalue()


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed npz in one step."""
    write_bytes(path, pack_arrays(arrays))


def read_arrays(path: Path, *, limit_bytes: int = MAX_ARCHIVE_BYTES) -> dict[str, NDArray[Any]]:
    """Read all arrays of an npz file, without pickling.

    Raises:
        BadFile: the file is missing, damaged, holds objects, or declares more than `limit_bytes` or than a file of its
            size may.
    """
    with open_file(path) as stream:
        size = os.fstat(stream.fileno()).st_size
        allowed = min(limit_bytes, FREE_ARCHIVE_BYTES + BYTES_PER_PACKED_BYTE * size)
        try:
            with zipfile.ZipFile(stream) as archive:
                entries = archive.infolist()
                declared = sum(entry.file_size for entry in entries)
                if declared > allowed:
                    raise BadFile(path, f"declares {declared} bytes of arrays, the limit is {allowed}")
                names = {entry.filename for entry in entries}
                if len(entries) > MAX_ARRAYS or len(names) < len(entries):
                    raise ValueError("too many entries, or two of one name")
                return {entry.filename.removesuffix(".npy"): _read_entry(archive, entry) for entry in entries}
        except OSError as error:
            raise BadFile(path, f"cannot be read ({error.strerror or error})") from error
        except BadFile:
            raise
        except Exception as error:  # zipfile and numpy's parser of headers raise a dozen types on damaged bytes
            shown = " ".join(str(error).split())[:200]
            raise BadFile(path, f"is not a readable npz archive ({shown})") from error


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    """One array, allocated only if the archive holds as many bytes as its header says."""
    if not entry.filename.endswith(".npy"):
        raise ValueError(f"{entry.filename} is no array")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{entry.filename} is packed in a way that npz files are not")
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADER_READERS:
            raise ValueError(f"{entry.filename} has the npy version {version}")
        shape, _, dtype = _HEADER_READERS[version](stream, max_header_size=_MAX_HEADER_CHARACTERS)
        if dtype.hasobject:
            raise ValueError(f"{entry.filename} holds objects, which are not loaded")
        held = entry.file_size - stream.tell()
        if min(shape, default=0) < 0 or dtype.itemsize * math.prod(shape) != held:
            raise ValueError(f"{entry.filename} declares {shape} of {dtype} and holds {held} bytes")
    with archive.open(entry) as stream:
        array: NDArray[Any] = np.lib.format.read_array(
            stream, allow_pickle=False, max_header_size=_MAX_HEADER_CHARACTERS
        )
        stream.read(1)  # to the end, so that zipfile compares the checksum
    return array


def digest(payload: bytes) -> str:
    """SHA-256 of bytes, as hexadecimal text."""
    return hashlib.sha256(payload).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes as hexadecimal text.

    Raises:
        BadFile: `open_file` refuses it.
    """
    with open_file(path) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sweep_temporaries(folder: Path) -> int:
    """Remove what interrupted writes left in `folder`; returns how many files that were."""
    stale = list(folder.glob(f"{_TEMPORARY}*")) if folder.is_dir() else []
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)
