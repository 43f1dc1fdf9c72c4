import contextlib
import gzip
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from neuroprivacy.core.errors import BadFile
from neuroprivacy.data import read_idx

Idx = Callable[[np.ndarray], bytes]
VALUES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.slow
@settings(deadline=None)
@given(values=hnp.arrays(np.uint8, hnp.array_shapes(max_dims=4)), compressed=st.booleans())
def test_what_is_written_is_read(values: np.ndarray, compressed: bool) -> None:
    payload = bytes([0, 0, 8, values.ndim])
    payload += b"".join(length.to_bytes(4, "big") for length in values.shape) + values.tobytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values"
        path.write_bytes(gzip.compress(payload) if compressed else payload)
        read = read_idx(path)
    assert read.dtype == np.uint8
    assert np.array_equal(read, values)
    assert not read.flags.writeable


@pytest.mark.slow
@settings(deadline=None)
@given(payload=st.binary(max_size=64), compressed=st.booleans())
def test_any_bytes_are_read_or_refused_with_a_bad_file(payload: bytes, compressed: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "values"
        path.write_bytes(gzip.compress(payload) if compressed else payload)
        with contextlib.suppress(BadFile):
            assert read_idx(path, limit_bytes=1000).size > 0


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda good: b"", r"is not an IDX file \(it begins with nothing\)"),
        (lambda good: b"\x00\x01" + good[2:], r"is not an IDX file \(it begins with 00 01 08 03\)"),
        (lambda good: good[:2] + b"\x0d" + good[3:], "IDX type 0x0d where unsigned bytes"),
        (lambda good: good[:3] + b"\x00" + good[4:], "declares 0 axes where 1 to 4"),
        (lambda good: good[:3] + b"\x05" + good[4:], "declares 5 axes"),
        (lambda good: good[:10], "ends within its header"),
        (lambda good: good[:4] + bytes(4) + good[8:], r"declares the empty shape \(0, 3, 4\)"),
        (lambda good: good[:-1], "ends after 23 of the 24 values"),
        (lambda good: good + b"\x00", "goes on after the 24 values"),
        (lambda good: good[:4] + b"\xff" * 12, "declares .* values, the limit is"),
    ],
)
def test_faults(
    tmp_path: Path, idx: Idx, pack: Callable[[bytes], bytes], spoil: Callable[[bytes], bytes], text: str
) -> None:
    path = tmp_path / "spoilt"
    path.write_bytes(pack(spoil(idx(VALUES))))
    with pytest.raises(BadFile, match=text) as caught:
        read_idx(path)
    assert "\n" not in str(caught.value)


def test_a_gzip_bomb_is_left_after_the_declared_values(
    tmp_path: Path, idx: Idx, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = io.BytesIO()
    with gzip.GzipFile(fileobj=bomb, mode="wb") as stream:
        stream.write(idx(VALUES))
        for _ in range(64):
            stream.write(bytes(2**20))
    path = tmp_path / "bomb.gz"
    path.write_bytes(bomb.getvalue())
    unpacked = []
    read = gzip.GzipFile.read
    monkeypatch.setattr(gzip.GzipFile, "read", lambda self, size: unpacked.append(size) or read(self, size))
    with pytest.raises(BadFile, match="goes on after the 24 values"):
        read_idx(path)
    assert sum(unpacked) < 100


def test_a_large_declaration_is_refused_unread(tmp_path: Path, idx: Idx) -> None:
    path = tmp_path / "values"
    path.write_bytes(idx(VALUES))
    assert read_idx(path, limit_bytes=24).shape == VALUES.shape
    with pytest.raises(BadFile, match="declares 24 values, the limit is 23"):
        read_idx(path, limit_bytes=23)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: packed[:-9],  # the stream is cut
        lambda packed: packed[:-8] + bytes(4) + packed[-4:],  # another checksum
        lambda packed: packed[:12] + bytes([packed[12] ^ 0xFF]) + packed[13:],  # a damaged block
        lambda packed: packed + b"more",  # something after the stream
    ],
)
def test_damaged_gzip(tmp_path: Path, idx: Idx, spoil: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "spoilt.gz"
    path.write_bytes(spoil(gzip.compress(idx(np.random.default_rng(0).integers(0, 256, 500)))))
    with pytest.raises(BadFile, match="is a damaged gzip file"):
        read_idx(path)


def test_missing_files_folders_and_pipes(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"cannot be read \(No such file or directory\)"):
        read_idx(tmp_path / "absent")
    with pytest.raises(BadFile, match="is not a regular file"):
        read_idx(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(BadFile, match="is not a regular file"):
            read_idx(tmp_path / "pipe")
