"""Small files in the formats of the published data sets, written by hand and not by the code under test."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


def idx_bytes(values: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    return header + values.astype(np.uint8).tobytes()


def write_idx_set(folder: Path, *, seed: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for part, samples in (("train", 20), ("t10k", 10)):
        images = rng.integers(0, 256, (samples, 28, 28))
        images[0, 0, :2] = 0, 255
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(images)))
        labels = np.arange(samples) % 10
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(labels)))
    return folder


def cifar_records(labels: list[tuple[int, ...]]) -> bytes:
    """Records whose pixel bytes count up from the record's number, so that each place has a known value."""
    pixels = [((np.arange(3072) + number) % 256).astype(np.uint8).tobytes() for number in range(len(labels))]
    return b"".join(bytes(columns) + body for columns, body in zip(labels, pixels, strict=True))


def write_cifar10(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for batch in range(1, 6):
        (folder / f"data_batch_{batch}.bin").write_bytes(cifar_records([(batch,), (9 - batch,)]))
    (folder / "test_batch.bin").write_bytes(cifar_records([(0,), (9,)]))
    return folder


def write_cifar100(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.bin").write_bytes(cifar_records([(19, 99), (0, 1), (3, 0)]))
    (folder / "test.bin").write_bytes(cifar_records([(4, 50)]))
    return folder


@pytest.fixture
def idx() -> Callable[[np.ndarray], bytes]:
    """The bytes of an IDX file of unsigned bytes."""
    return idx_bytes


@pytest.fixture
def records() -> Callable[[list[tuple[int, ...]]], bytes]:
    """The bytes of a CIFAR file with these label columns."""
    return cifar_records


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with small versions of all four file sets."""
    root = tmp_path / "root"
    write_idx_set(root / "mnist")
    write_idx_set(root / "fashion-mnist", seed=1)
    write_cifar10(root / "cifar-10-batches-bin")
    write_cifar100(root / "cifar-100-binary")
    return root


@pytest.fixture(autouse=True)
def _no_data_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NEUROPRIVACY_DATA", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
