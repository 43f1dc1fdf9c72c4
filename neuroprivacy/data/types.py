"""A loaded data set: four read-only arrays and the class names.

Images are (samples, channels, height, width), tables are (samples, features); both are float32 in [0, 1], whatever the
file format. Every label has a class. A data set is immutable: `subset` makes a new one.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.data.stratify import stratified_indices

Images = NDArray[np.float32]
Labels = NDArray[np.int64]

#: Smallest and largest value that an image may hold.
VALUE_RANGE = (0.0, 1.0)
_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """One data set, split into training and test samples. Compare two by their `digest()`.

    Attributes:
        name: as in `dataset_names()`, or the caller's own.
        train_images: float32 (samples, channels, height, width) or (samples, features), 0 … 1, read-only.
        train_labels: int64 (samples,), 0 … num_classes - 1, read-only.
        test_images: like `train_images`, with the same shape after the first axis.
        test_labels: like `train_labels`.
        classes: the name of each class, in the order of the labels.

    Raises:
        ConfigurationError: an array has another dtype, shape or range than stated here.
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            _check_images(f"{self.name}: {part}_images", getattr(self, f"{part}_images"))
            _check_labels(
                f"{self.name}: {part}_labels",
                getattr(self, f"{part}_labels"),
                samples=len(getattr(self, f"{part}_images")),
                num_classes=len(self.classes),
            )
        train, test = self.train_images.shape[1:], self.test_images.shape[1:]
        if train != test:
            raise ConfigurationError(f"{self.name}: training samples are {train}, test samples are {test}")
        for field in _ARRAYS:
            object.__setattr__(self, field, _read_only(getattr(self, field)))

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """Shape of one sample: (channels, height, width) or (features,)."""
        return self.train_images.shape[1:]

    @property
    def num_classes(self) -> int:
        """Number of classes, whether or not each has a sample here."""
        return len(self.classes)

    def subset(self, *, train: int | None = None, test: int | None = None, seed: int = 0) -> Dataset:
        """A smaller data set with the same shares of the classes, as far as whole samples allow.

        Args:
            train: training samples to keep, 1 … all; None keeps all.
            test: test samples to keep, likewise.
            seed: 0 or more; equal seeds choose equal samples. The order of the samples stays.

        Raises:
            ConfigurationError: a count is below 1 or above what there is, or `seed` is negative.
        """
        if seed < 0:
            raise ConfigurationError(f"{self.name}: seed ({seed}) must not be negative")
        kept: dict[str, Any] = {}
        for stream, (part, count) in enumerate((("train", train), ("test", test))):
            if count is None:
                continue
            labels: Labels = getattr(self, f"{part}_labels")
            if not 1 <= count <= len(labels):
                raise ConfigurationError(f"{self.name}: {part} samples ({count}) must be 1 to {len(labels)}")
            chosen = stratified_indices(labels, count=count, seed=seed, stream=stream)
            for field in (f"{part}_images", f"{part}_labels"):
                kept[field] = getattr(self, field)[chosen]
                kept[field].setflags(write=False)
        return replace(self, **kept)

    def digest(self) -> str:
        """SHA-256 of classes, shapes and values as hexadecimal text; the name is left out."""
        total = hashlib.sha256(json.dumps(self.classes).encode())
        for field in _ARRAYS:
            values = getattr(self, field)
            stored = np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("<"))
            total.update(json.dumps([field, stored.dtype.str, stored.shape]).encode())
            total.update(stored.reshape(-1).view(np.uint8).data)
        return total.hexdigest()


def _check_images(where: str, images: Images) -> None:
    if images.dtype != np.float32 or images.ndim not in (2, 4) or images.size == 0:
        raise ConfigurationError(f"{where} is {images.dtype} {images.shape}; give float32 with 2 or 4 axes, none empty")
    low, high = float(images.min()), float(images.max())
    if not (low >= VALUE_RANGE[0] and high <= VALUE_RANGE[1]):
        raise ConfigurationError(f"{where} holds values from {low:g} to {high:g}; scale them to 0 … 1")


def _check_labels(where: str, labels: Labels, *, samples: int, num_classes: int) -> None:
    if labels.dtype != np.int64 or labels.shape != (samples,):
        raise ConfigurationError(f"{where} is {labels.dtype} {labels.shape}; give int64 ({samples},)")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ConfigurationError(f"{where} holds {labels.min()} to {labels.max()}; give 0 to {num_classes - 1}")


def _read_only(values: NDArray[Any]) -> NDArray[Any]:
    """`values` itself where nobody can write to it, else a read-only copy."""
    if not values.flags.writeable:
        return values
    frozen = values.copy()
    frozen.setflags(write=False)
    return frozen
