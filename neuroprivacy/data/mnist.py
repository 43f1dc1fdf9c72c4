"""MNIST and Fashion-MNIST: four IDX files each, of the same names and shapes, distinguished by their labels.

Because the two sets have the same file names, a folder of one is easily taken for the other, and every number
after that would be wrong without a word. So the training labels are compared with those of the *other*
published set.

Source: http://yann.lecun.com/exdb/mnist, https://github.com/zalandoresearch/fashion-mnist
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import BadFile
from neuroprivacy.data.idx import read_idx
from neuroprivacy.data.types import Dataset, Images, Labels

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
#: Each entry may lie there under either name; the first that exists is read.
IDX_FILES = tuple((f"{stem}.gz", stem) for stem in (TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS))

IMAGE_SHAPE = (28, 28)
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion-mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
}
#: SHA-256 of the 60000 label bytes of the published training sets (computed from files with the published
#: MD5).
TRAIN_LABELS_SHA256 = {
    "mnist": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "fashion-mnist": "657fbd221bfc9f4198cc14b5619cc33ec57c58dd0e47af4d99d6650759e869a7",
}


def load_mnist(folder: Path) -> Dataset:
    """MNIST from the folder of its four IDX files: pictures (1, 28, 28), 10 classes.

    Raises:
        BadFile: a file is missing, damaged, or is not MNIST's.
    """
    return _load(folder, name="mnist")


def load_fashion_mnist(folder: Path) -> Dataset:
    """Fashion-MNIST from the folder of its four IDX files: pictures (1, 28, 28), 10 classes.

    Raises:
        BadFile: a file is missing, damaged, or is not Fashion-MNIST's.
    """
    return _load(folder, name="fashion-mnist")


def _load(folder: Path, *, name: str) -> Dataset:
    train_labels = _read_labels(_existing(folder, TRAIN_LABELS), name=name)
    test_labels = _read_labels(_existing(folder, TEST_LABELS), name=name)
    return Dataset(
        name=name,
        train_images=_read_images(_existing(folder, TRAIN_IMAGES), samples=len(train_labels)),
        train_labels=train_labels,
        test_images=_read_images(_existing(folder, TEST_IMAGES), samples=len(test_labels)),
        test_labels=test_labels,
        classes=CLASSES[name],
    )


def _existing(folder: Path, stem: str) -> Path:
    packed = folder / f"{stem}.gz"
    return packed if packed.exists() or not (folder / stem).exists() else folder / stem


def _read_labels(path: Path, *, name: str) -> Labels:
    stored = read_idx(path)
    if stored.ndim != 1:
        raise BadFile(path, f"holds an array of shape {stored.shape} where labels (samples,) are expected")
    last = len(CLASSES[name]) - 1
    if stored.max() > last:
        raise BadFile(path, f"holds the label {stored.max()}, the largest of {name} is {last}")
    content = hashlib.sha256(stored.tobytes()).hexdigest()
    for other, known in TRAIN_LABELS_SHA256.items():
        if other != name and content == known:
            raise BadFile(path, f"holds the labels of {other}, not of {name}")
    return stored.astype(np.int64)


def _read_images(path: Path, *, samples: int) -> Images:
    stored: NDArray[np.uint8] = read_idx(path)
    if stored.shape != (samples, *IMAGE_SHAPE):
        raise BadFile(path, f"holds images of shape {stored.shape} where {(samples, *IMAGE_SHAPE)} is expected")
    images = stored[:, np.newaxis].astype(np.float32)
    images /= np.float32(255)
    images.setflags(write=False)
    return images
