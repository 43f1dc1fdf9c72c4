"""CIFAR-10 and CIFAR-100 in their "binary version": fixed-length records, no pickles.

    CIFAR-10    1 label byte,                        then 3072 bytes of pixels: 3073 a record
    CIFAR-100   1 coarse label byte, 1 fine label,   then 3072 bytes of pixels: 3074 a record

The pixels are 1024 red, 1024 green and 1024 blue bytes, each 32 x 32 row by row. The fine labels are the
classes.

Source: A. Krizhevsky, https://www.cs.toronto.edu/~kriz/cifar.html, section "Binary version".
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from neuroprivacy.core.errors import BadFile
from neuroprivacy.data.binary import read_records
from neuroprivacy.data.types import Dataset, Images, Labels

IMAGE_SHAPE = (3, 32, 32)
PIXEL_BYTES = 3 * 32 * 32
CIFAR10_TRAIN = tuple(f"data_batch_{batch}.bin" for batch in range(1, 6))
CIFAR10_TEST = "test_batch.bin"
CIFAR100_TRAIN = "train.bin"
CIFAR100_TEST = "test.bin"

CIFAR10_CLASSES = (*("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),)
COARSE_CLASSES = 20
CIFAR100_CLASSES = (
    *("apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle"),
    *("bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle"),
    *("chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup"),
    *("dinosaur", "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house"),
    *("kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man"),
    *("maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange", "orchid"),
    *("otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy"),
    *("porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal"),
    *("shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar"),
    *("sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor"),
    *("train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm"),
)


def load_cifar10(folder: Path) -> Dataset:
    """CIFAR-10 from the folder of `data_batch_1.bin` … `data_batch_5.bin` and `test_batch.bin`.

    Raises:
        BadFile: a file is missing, its length is no multiple of 3073 bytes, or a label is not 0 … 9.
    """
    labels = (("label", len(CIFAR10_CLASSES)),)
    train = _read(folder, files=CIFAR10_TRAIN, labels=labels)
    test = _read(folder, files=(CIFAR10_TEST,), labels=labels)
    return _dataset("cifar-10", train=train, test=test, classes=CIFAR10_CLASSES)


def load_cifar100(folder: Path) -> Dataset:
    """CIFAR-100 with its fine labels, from the folder of `train.bin` and `test.bin`.

    Raises:
        BadFile: a file is missing, its length is no multiple of 3074 bytes, or a label is not 0 … 99 (coarse
            0 … 19).
    """
    labels = (("coarse label", COARSE_CLASSES), ("fine label", len(CIFAR100_CLASSES)))
    train = _read(folder, files=(CIFAR100_TRAIN,), labels=labels)
    test = _read(folder, files=(CIFAR100_TEST,), labels=labels)
    return _dataset("cifar-100", train=train, test=test, classes=CIFAR100_CLASSES)


def _read(folder: Path, *, files: Sequence[str], labels: Sequence[tuple[str, int]]) -> tuple[Images, Labels]:
    """All images, and the last label column; `labels` is each column's word and number of values."""
    batches = []
    for path in (folder / name for name in files):
        record_bytes = len(labels) + PIXEL_BYTES
        payload = read_records(path, record_bytes=record_bytes)
        records = np.frombuffer(payload, dtype=np.uint8).reshape(-1, record_bytes)
        for column, (word, values) in enumerate(labels):
            largest = int(records[:, column].max())
            if largest >= values:
                raise BadFile(path, f"holds the {word} {largest}, the largest is {values - 1}")
        batches.append(records)
    images = np.empty((sum(map(len, batches)), *IMAGE_SHAPE), dtype=np.float32)
    start = 0
    for records in batches:
        stop = start + len(records)
        images[start:stop] = records[:, len(labels) :].reshape(-1, *IMAGE_SHAPE)
        start = stop
    images /= np.float32(255)
    images.setflags(write=False)
    return images, np.concatenate([records[:, len(labels) - 1] for records in batches]).astype(np.int64)


def _dataset(
    name: str, *, train: tuple[Images, Labels], test: tuple[Images, Labels], classes: tuple[str, ...]
) -> Dataset:
    return Dataset(
        name=name,
        train_images=train[0],
        train_labels=train[1],
        test_images=test[0],
        test_labels=test[1],
        classes=classes,
    )
