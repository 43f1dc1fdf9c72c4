"""The data sets that need no file: scikit-learn carries them, so they work offline and on a fresh machine.

    digits          1797 pictures (1, 8, 8), 10 classes; pixels are counts 0 … 16, divided by 16
    iris            150 rows of 4 features, 3 classes
    breast-cancer   569 rows of 30 features, 2 classes

scikit-learn has no split of its own; the split here is stratified, shuffled, and fixed by `SPLIT_SEED`. Table
columns are scaled by the smallest and largest value of the *training* rows, so the test rows tell the scale
nothing; test values outside that range are clipped.

Source: scikit-learn, `sklearn.datasets.load_digits`, `load_iris`, `load_breast_cancer`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.data.stratify import shuffled_indices, stratified_indices
from neuroprivacy.data.types import Dataset, Images, Labels

#: Chosen once; tests/data/test_embedded.py pins what it selects.
SPLIT_SEED = 20
#: Test samples of each set: about a fifth, chosen.
TEST_SAMPLES = {"digits": 360, "iris": 30, "breast-cancer": 114}
_DIGITS_LEVELS = 16


def load_digits() -> Dataset:
    """Handwritten digits: 1437 training and 360 test pictures of shape (1, 8, 8)."""
    from sklearn import datasets

    source = datasets.load_digits()
    images = (source.images / _DIGITS_LEVELS).astype(np.float32)[:, np.newaxis]
    train, test = _split(source.target, test=TEST_SAMPLES["digits"])
    return _dataset("digits", source, train=train, test=test, train_images=images[train], test_images=images[test])


def load_iris() -> Dataset:
    """Iris flowers: 120 training and 30 test rows of 4 features."""
    from sklearn import datasets

    return _table("iris", datasets.load_iris())


def load_breast_cancer() -> Dataset:
    """Breast cancer Wisconsin (diagnostic): 455 training and 114 test rows of 30 features."""
    from sklearn import datasets

    return _table("breast-cancer", datasets.load_breast_cancer())


def scale_by_train(train: NDArray[Any], test: NDArray[Any]) -> tuple[Images, Images]:
    """Scale each column so that the training rows span 0 … 1, and clip the test rows to that.

    Args:
        train: (rows, features), any real dtype.
        test: (rows, features), likewise.

    Returns:
        Both as float32, 0 … 1. A column that is constant in `train` becomes 0 there.
    """
    low, high = train.min(axis=0), train.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    scaled = [np.clip((rows - low) / span, 0.0, 1.0).astype(np.float32) for rows in (train, test)]
    return scaled[0], scaled[1]


def _table(name: str, source: Any) -> Dataset:
    train, test = _split(source.target, test=TEST_SAMPLES[name])
    train_images, test_images = scale_by_train(source.data[train], source.data[test])
    return _dataset(name, source, train=train, test=test, train_images=train_images, test_images=test_images)


def _split(target: NDArray[Any], *, test: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions of the training and of the test samples, each shuffled: the sources are sorted by class."""
    held_out = stratified_indices(target.astype(np.int64), count=test, seed=SPLIT_SEED)
    order = shuffled_indices(len(target), seed=SPLIT_SEED, stream=1)
    in_test = np.isin(order, held_out)
    return order[~in_test], order[in_test]


def _dataset(
    name: str,
    source: Any,
    *,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    train_images: Images,
    test_images: Images,
) -> Dataset:
    labels: Labels = source.target.astype(np.int64)
    return Dataset(
        name=name,
        train_images=train_images,
        train_labels=labels[train],
        test_images=test_images,
        test_labels=labels[test],
        classes=tuple(str(label) for label in source.target_names),
    )
