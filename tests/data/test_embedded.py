import hashlib

import numpy as np
import pytest

from neuroprivacy.data import load_dataset
from neuroprivacy.data.embedded import scale_by_train

SHAPES = {
    "digits": ((1437, 1, 8, 8), (360, 1, 8, 8), 10),
    "iris": ((120, 4), (30, 4), 3),
    "breast-cancer": ((455, 30), (114, 30), 2),
}
#: SHA-256 of each set's labels in order: changes when the split does. May not change between releases.
SPLITS = {
    "digits": "2a4d17ba37205577d6b4c8f5be16cae70d1e6cef1fab5e98184e0ac3242ee0e8",
    "iris": "a7d98914997552acbd3eb4c1829c18770d0818f85cbdd02afb33b248a785375b",
    "breast-cancer": "dd632e99f3df6df4cc2881aeaeabf0436a60af2e1ff5fd2e7c9d2be05789b232",
}


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_ranges_and_classes(name: str) -> None:
    loaded = load_dataset(name)
    train, test, num_classes = SHAPES[name]
    assert (loaded.name, loaded.num_classes) == (name, num_classes)
    assert (loaded.train_images.shape, loaded.test_images.shape) == (train, test)
    assert (loaded.train_images.min(), loaded.train_images.max()) == (0, 1)
    assert set(loaded.train_labels) == set(loaded.test_labels) == set(range(num_classes))
    shares = [np.bincount(labels) / len(labels) for labels in (loaded.train_labels, loaded.test_labels)]
    assert np.abs(shares[0] - shares[1]).max() < 1 / len(loaded.test_labels) + 1 / len(loaded.train_labels)


@pytest.mark.parametrize("name", SHAPES)
def test_the_split_is_the_same_for_ever(name: str) -> None:
    loaded = load_dataset(name)
    labels = np.concatenate([loaded.train_labels, loaded.test_labels]).astype("<i8")
    assert hashlib.sha256(labels.tobytes()).hexdigest() == SPLITS[name]
    assert loaded.digest() == load_dataset(name).digest()


@pytest.mark.parametrize("name", SHAPES)
def test_samples_are_shuffled_and_none_is_lost(name: str) -> None:
    loaded = load_dataset(name)
    assert len(set(loaded.train_labels[:20])) > 1
    assert np.any(np.diff(loaded.train_labels) < 0)


def test_digits_are_sixteenths_and_training_and_test_pictures_add_up_to_the_source() -> None:
    from sklearn import datasets

    loaded = load_dataset("digits")
    pictures = np.concatenate([loaded.train_images, loaded.test_images])[:, 0] * 16
    assert np.array_equal(pictures, np.round(pictures))
    source = datasets.load_digits()
    key = [
        sorted((int(label), picture.astype(np.float64).tobytes()) for label, picture in zip(*pair, strict=True))
        for pair in (
            (np.concatenate([loaded.train_labels, loaded.test_labels]), pictures),
            (source.target, source.images),
        )
    ]
    assert key[0] == key[1]


def test_class_names() -> None:
    assert load_dataset("iris").classes == ("setosa", "versicolor", "virginica")
    assert load_dataset("breast-cancer").classes == ("malignant", "benign")
    assert load_dataset("digits").classes == tuple("0123456789")


def test_the_training_rows_alone_set_the_scale() -> None:
    train, test = scale_by_train(np.array([[2.0, 7.0], [4.0, 7.0]]), np.array([[3.0, 7.5], [9.0, 0.0]]))
    assert train.tolist() == [[0, 0], [1, 0]]
    assert test.tolist() == [[0.5, 0.5], [1, 0]]
    assert train.dtype == np.float32
