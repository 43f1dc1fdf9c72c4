import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neuroprivacy.core.errors import BadFile
from neuroprivacy.data import load_dataset, mnist, read_idx

Idx = Callable[[np.ndarray], bytes]


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_pictures_labels_and_classes(root: Path, name: str) -> None:
    loaded = load_dataset(name, data_root=root)
    assert (loaded.train_images.shape, loaded.test_images.shape) == ((20, 1, 28, 28), (10, 1, 28, 28))
    stored = read_idx(root / name / "train-images-idx3-ubyte.gz")
    assert np.array_equal(np.round(loaded.train_images[:, 0] * 255), stored)
    assert loaded.train_images[0, 0, 0, :2].tolist() == [0, 1]
    assert loaded.test_labels.tolist() == list(range(10))
    assert loaded.num_classes == 10
    assert not loaded.train_images.flags.writeable


def test_class_names(root: Path) -> None:
    assert load_dataset("mnist", data_root=root).classes[3] == "3"
    fashion = load_dataset("fashion-mnist", data_root=root).classes
    assert (fashion[0], fashion[9]) == ("T-shirt/top", "Ankle boot")


def test_unpacked_files_do_as_well(root: Path) -> None:
    packed = load_dataset("mnist", data_root=root).digest()
    for path in (root / "mnist").glob("*.gz"):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    assert load_dataset("mnist", data_root=root).digest() == packed


@pytest.mark.parametrize(
    ("file", "values", "text"),
    [
        ("train-labels-idx1-ubyte.gz", np.full(20, 10), "holds the label 10, the largest of mnist is 9"),
        ("train-labels-idx1-ubyte.gz", np.zeros((20, 1)), r"shape \(20, 1\) where labels"),
        ("train-labels-idx1-ubyte.gz", np.zeros(19), r"\(20, 28, 28\) where \(19, 28, 28\) is expected"),
        ("t10k-images-idx3-ubyte.gz", np.zeros((10, 28, 27)), r"\(10, 28, 27\) where \(10, 28, 28\)"),
        ("t10k-images-idx3-ubyte.gz", np.zeros(10), r"images of shape \(10,\)"),
    ],
)
def test_files_that_do_not_fit_together(root: Path, idx: Idx, file: str, values: np.ndarray, text: str) -> None:
    (root / "mnist" / file).write_bytes(gzip.compress(idx(values)))
    with pytest.raises(BadFile, match=text):
        load_dataset("mnist", data_root=root)


def test_the_files_of_the_other_set_are_told_apart(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = read_idx(root / "mnist" / "train-labels-idx1-ubyte.gz")
    known = {**mnist.TRAIN_LABELS_SHA256, "mnist": hashlib.sha256(labels.tobytes()).hexdigest()}
    monkeypatch.setattr(mnist, "TRAIN_LABELS_SHA256", known)
    assert load_dataset("mnist", data_root=root).name == "mnist"
    with pytest.raises(BadFile, match="holds the labels of mnist, not of fashion-mnist"):
        load_dataset("fashion-mnist", data_root=root)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"train-labels-idx1-ubyte.gz: cannot be read"):
        mnist.load_mnist(tmp_path)
