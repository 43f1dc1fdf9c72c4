from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.core.errors import BadFile
from neuroprivacy.data import load_dataset
from neuroprivacy.data.binary import read_records
from neuroprivacy.data.cifar import CIFAR100_CLASSES

Records = Callable[[list[tuple[int, ...]]], bytes]
RAMP = (np.arange(3072) % 256).reshape(3, 32, 32)


def test_cifar10(root: Path) -> None:
    loaded = load_dataset("cifar-10", data_root=root)
    assert loaded.train_labels.tolist() == [1, 8, 2, 7, 3, 6, 4, 5, 5, 4]
    assert loaded.test_labels.tolist() == [0, 9]
    assert (loaded.sample_shape, loaded.num_classes) == ((3, 32, 32), 10)
    assert np.array_equal(np.round(loaded.train_images[0] * 255), RAMP)
    assert np.array_equal(np.round(loaded.train_images[1] * 255), (RAMP + 1) % 256)
    assert (loaded.classes[0], loaded.classes[9]) == ("airplane", "truck")


def test_cifar100_takes_the_fine_labels(root: Path) -> None:
    loaded = load_dataset("cifar-100", data_root=root)
    assert loaded.train_labels.tolist() == [99, 1, 0]
    assert loaded.test_labels.tolist() == [50]
    assert (loaded.sample_shape, loaded.num_classes) == ((3, 32, 32), 100)
    assert np.array_equal(np.round(loaded.test_images[0] * 255), RAMP)


def test_the_hundred_names_are_in_alphabetical_order() -> None:
    assert len(set(CIFAR100_CLASSES)) == 100
    assert list(CIFAR100_CLASSES) == sorted(CIFAR100_CLASSES)


@pytest.mark.parametrize(
    ("name", "file", "labels", "text"),
    [
        ("cifar-10", "cifar-10-batches-bin/data_batch_3.bin", (10,), "holds the label 10, the largest is 9"),
        ("cifar-100", "cifar-100-binary/test.bin", (20, 0), "holds the coarse label 20, the largest is 19"),
        ("cifar-100", "cifar-100-binary/test.bin", (0, 100), "holds the fine label 100, the largest is 99"),
    ],
)
def test_wrong_labels(root: Path, records: Records, name: str, file: str, labels: tuple[int, ...], text: str) -> None:
    (root / file).write_bytes(records([labels]))
    with pytest.raises(BadFile, match=f"{Path(file).name}: {text}"):
        load_dataset(name, data_root=root)


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda good: good[:-1], "holds 6145 bytes, which is no multiple of the record's 3073"),
        (lambda good: good + b"\x00", "holds 6147 bytes, which is no multiple"),
        (lambda good: b"", "is empty"),
    ],
)
def test_wrong_lengths(root: Path, spoil: Callable[[bytes], bytes], text: str) -> None:
    path = root / "cifar-10-batches-bin" / "data_batch_5.bin"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BadFile, match=text):
        load_dataset("cifar-10", data_root=root)


def test_a_file_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(11))
    with pytest.raises(BadFile, match="holds 11 bytes, the limit is 10"):
        read_records(tmp_path / "large", record_bytes=1, limit_bytes=10)
