"""Files that are never half-written, and archives of arrays that can hold nothing but arrays.

Every file of this library is written to a temporary name in the same folder, flushed, and renamed over the
old one. Arrays travel as npz without pickling; the same arrays give the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.errors import BadFile

#: Arrays of one archive may hold this many bytes in all, uncompressed; a larger declaration is refused unread.
MAX_ARCHIVE_BYTES = 16 * 2**30
_TEMPORARY = ".partial-"


def write_bytes(path: Path, payload: bytes) -> None:
    """Write a file in one step: it is either the old one or the whole new one, whatever happens."""
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


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        BadFile: the file is missing, is not JSON, or holds something other than an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror})") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise BadFile(path, f"is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise BadFile(path, f"holds a {type(value).__name__} where an object is expected")
    return value


def pack_arrays(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a compressed npz of `arrays`, in the order of their names; equal arrays give equal bytes."""
    stream = io.BytesIO()
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    for name, array in ordered.items():
        if array.dtype.hasobject:  # older numpy has no `allow_pickle` here: it would store it as an array
            raise ValueError(f"array {name!r} holds objects; only numbers and text are written")
    np.savez_compressed(stream, **ordered)  # type: ignore[arg-type]
    return stream.getvalue()


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a compressed npz in one step."""
    write_bytes(path, pack_arrays(arrays))


def read_arrays(path: Path, *, limit_bytes: int = MAX_ARCHIVE_BYTES) -> dict[str, NDArray[Any]]:
    """Read all arrays of an npz file, without pickling.

    Raises:
        BadFile: the file is missing, damaged, holds objects, or declares more than `limit_bytes`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            declared = sum(entry.file_size for entry in archive.infolist())
        if declared > limit_bytes:
            raise BadFile(path, f"declares {declared} bytes of arrays, the limit is {limit_bytes}")
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except OSError as error:
        raise BadFile(path, f"cannot be read ({error.strerror or error})") from error
    except (zipfile.BadZipFile, zlib.error, ValueError, KeyError, EOFError, RuntimeError, MemoryError) as error:
        raise BadFile(path, f"is not a readable npz archive ({error})") from error
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):  # numpy hands over the bytes of an entry that it does not know
            raise BadFile(path, f"is not a readable npz archive ({name} is no array)")
    return arrays


def digest(payload: bytes) -> str:
    """SHA-256 as hexadecimal text."""
    return hashlib.sha256(payload).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes as hexadecimal text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sweep_temporaries(folder: Path) -> int:
    """Remove what interrupted writes left in `folder`; returns how many files that were."""
    stale = list(folder.glob(f"{_TEMPORARY}*")) if folder.is_dir() else []
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)
