import dataclasses

import numpy as np
import pytest

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.data import Dataset


def dataset(**changed: object) -> Dataset:
    fields: dict[str, object] = {
        "name": "made",
        "train_images": np.linspace(0, 1, 40, dtype=np.float32).reshape(10, 1, 2, 2),
        "train_labels": np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 2], dtype=np.int64),
        "test_images": np.zeros((4, 1, 2, 2), np.float32),
        "test_labels": np.array([0, 1, 2, 0], dtype=np.int64),
        "classes": ("a", "b", "c"),
    }
    return Dataset(**{**fields, **changed})  # type: ignore[arg-type]


def test_properties() -> None:
    assert dataset().sample_shape == (1, 2, 2)
    assert dataset().num_classes == 3


def test_arrays_are_read_only_and_the_callers_stay_theirs() -> None:
    mine = np.zeros((10, 1, 2, 2), np.float32)
    made = dataset(train_images=mine)
    with pytest.raises(ValueError, match="read-only"):
        made.train_images[0] = 1
    mine[0] = 0.5
    assert made.train_images.max() == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"train_images": np.zeros((10, 1, 2, 2))}, "made: train_images is float64"),
        ({"train_images": np.zeros((10, 2, 2), np.float32)}, "2 or 4 axes"),
        ({"train_images": np.zeros((0, 4), np.float32)}, "none empty"),
        (
            {"test_images": np.full((4, 1, 2, 2), 1.5, np.float32)},
            "values from 1.5 to 1.5; scale them to 0 … 1",
        ),
        ({"test_images": np.full((4, 1, 2, 2), np.nan, np.float32)}, "values from nan to nan"),
        ({"test_images": np.full((4, 1, 2, 2), -0.1, np.float32)}, "values from -0.1"),
        (
            {"test_images": np.zeros((4, 1, 3, 2), np.float32)},
            r"training samples are \(1, 2, 2\), test samples",
        ),
        ({"test_labels": np.array([0, 1, 2, 3])}, "holds 0 to 3; give 0 to 2"),
        ({"test_labels": np.array([0, 1, 2, -1])}, "holds -1 to 2"),
        ({"test_labels": np.array([0, 1, 2])}, r"give int64 \(4,\)"),
        ({"test_labels": np.zeros(4, np.int32)}, "test_labels is int32"),
    ],
)
def test_arrays_that_are_not_as_stated_are_refused(changed: dict[str, object], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        dataset(**changed)


def test_subset_keeps_the_shares_of_the_classes_and_pairs_images_with_labels() -> None:
    whole = dataset()
    small = whole.subset(train=5, seed=3)
    assert np.bincount(small.train_labels).tolist() in ([3, 2, 0], [3, 1, 1])
    assert small.test_images is whole.test_images
    rows = {image.tobytes(): label for image, label in zip(whole.train_images, whole.train_labels, strict=True)}
    for image, label in zip(small.train_images, small.train_labels, strict=True):
        assert rows[image.tobytes()] == label
    assert not small.train_images.flags.writeable


def test_subset_depends_on_the_seed_alone() -> None:
    whole = dataset()
    picks = {seed: whole.subset(train=4, test=2, seed=seed).digest() for seed in range(8)}
    assert picks == {seed: whole.subset(train=4, test=2, seed=seed).digest() for seed in range(8)}
    assert len(set(picks.values())) > 1
    assert whole.subset(train=10, test=4, seed=5).digest() == whole.digest()


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"train": 11}, r"train samples \(11\) must be 1 to 10"),
        ({"test": 0}, r"test samples \(0\) must be 1 to 4"),
        ({"train": 2, "seed": -1}, r"seed \(-1\) must not be negative"),
    ],
)
def test_subset_refuses_what_it_cannot_give(asked: dict[str, int], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        dataset().subset(**asked)


def test_digest_sees_values_shapes_and_classes_but_not_the_name() -> None:
    assert dataset().digest() == dataset(name="other").digest()
    images = dataset().train_images.copy()
    images[3, 0, 1, 1] = 0.25
    others = [
        dataset(train_images=images),
        dataset(classes=("a", "b", "d")),
        dataset(
            train_images=dataset().train_images.reshape(10, 1, 4, 1),
            test_images=np.zeros((4, 1, 4, 1), np.float32),
        ),
    ]
    assert len({dataset().digest(), *(other.digest() for other in others)}) == 4
