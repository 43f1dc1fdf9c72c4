"""Class impressions: similarity, range, what the ANN answers, seeds, files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.data import load_dataset
from neuroprivacy.networks import model_spec
from neuroprivacy.synthesis.class_impressions import SynthesisSettings, class_similarity, load_synthetic, synthesize
from neuroprivacy.training import FitSettings, train

SETTINGS = SynthesisSettings(count=60, iterations=60, batch_size=25, jitter=1, seed=4)


@pytest.fixture(scope="module")
def ann() -> nn.Sequential:
    digits = load_dataset("digits")
    spec = model_spec("convnet", input_shape=digits.sample_shape, classes=10, hidden=(32,), width=0.5, bias=True)
    return train(spec, dataset=digits, settings=FitSettings(epochs=4, batch_size=32, lr=5e-3, threads=1))


@pytest.fixture(scope="module")
def made(ann: nn.Sequential):
    return synthesize(ann, input_shape=(1, 8, 8), settings=SETTINGS)


def test_similarity_is_a_stretched_cosine() -> None:
    weight = torch.randn(7, 20, generator=torch.Generator().manual_seed(0))
    found = class_similarity(weight)
    assert found.shape == (7, 7)
    torch.testing.assert_close(found.diagonal(), torch.ones(7))
    assert float(found.min()) == pytest.approx(1e-3)
    assert float(found.max()) <= 1
    w = weight.numpy()
    cosine = w @ w.T / np.outer(np.linalg.norm(w, axis=1), np.linalg.norm(w, axis=1))
    low, high = cosine.min(1, keepdims=True), cosine.max(1, keepdims=True)
    np.testing.assert_allclose(found, np.maximum((cosine - low) / (high - low), 1e-3), atol=1e-6)
    torch.testing.assert_close(class_similarity(3 * weight), found)


def test_similarity_of_equal_classes_is_still_a_concentration() -> None:
    assert torch.equal(class_similarity(torch.ones(3, 4)), torch.full((3, 3), 1e-3))


@pytest.mark.slow
def test_images_and_labels_are_in_range(made) -> None:
    assert made.images.shape == (60, 1, 8, 8)
    assert made.images.dtype == np.float32
    assert made.images.min() >= 0
    assert made.images.max() <= 1
    assert made.images.std() > 0.05
    np.testing.assert_allclose(made.soft_labels.sum(1), 1, atol=1e-5)
    assert (made.soft_labels >= 0).all()
    assert sorted(made.classes) == sorted(list(range(10)) * 6)
    assert list(made.classes) != sorted(made.classes)


def test_the_ann_answers_with_the_soft_labels(ann: nn.Sequential, made) -> None:
    """Far nearer than to noise: the divergence falls by more than three quarters."""
    label = torch.from_numpy(made.soft_labels)

    def divergence(images: torch.Tensor) -> float:
        with torch.no_grad():
            return float(nn.functional.kl_div(ann(images).log_softmax(1), label, reduction="batchmean"))

    noise = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert divergence(torch.from_numpy(made.images)) < 0.25 * divergence(noise)
    with torch.no_grad():
        answer = ann(torch.from_numpy(made.images)).softmax(1)
    sharp = label.max(1).values > 0.7
    assert sharp.sum() > 10
    assert (answer.argmax(1) == label.argmax(1))[sharp].float().mean() > 0.9


def test_seeded_and_independent_of_earlier_draws(ann: nn.Sequential, made) -> None:
    torch.rand(17)
    again = synthesize(ann, input_shape=(1, 8, 8), settings=SETTINGS)
    np.testing.assert_array_equal(again.images, made.images)
    np.testing.assert_array_equal(again.soft_labels, made.soft_labels)
    other = SynthesisSettings(count=10, iterations=2, seed=5)
    assert (synthesize(ann, input_shape=(1, 8, 8), settings=other).soft_labels[0] != made.soft_labels[0]).any()


def test_the_ann_is_not_changed(ann: nn.Sequential) -> None:
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    ann.train()
    synthesize(ann, input_shape=(1, 8, 8), settings=SynthesisSettings(count=3, iterations=2))
    assert ann.training
    ann.eval()
    assert all(p.requires_grad for p in ann.parameters())
    assert all(torch.equal(value, ann.state_dict()[name]) for name, value in before.items())


def test_the_regulariser_makes_images_darker_and_smoother(ann: nn.Sequential) -> None:
    plain, regular = (
        synthesize(
            ann, input_shape=(1, 8, 8), settings=SynthesisSettings(count=30, iterations=60, plain=share, seed=1)
        ).images
        for share in (1.0, 0.0)
    )
    assert regular.mean() < 0.8 * plain.mean()
    assert np.abs(np.diff(regular, axis=3)).mean() < 0.8 * np.abs(np.diff(plain, axis=3)).mean()


def test_tables_have_no_neighbours() -> None:
    table = nn.Sequential(nn.Linear(5, 3))
    made = synthesize(table, input_shape=(5,), settings=SynthesisSettings(count=4, iterations=3))
    assert made.images.shape == (4, 5)


def test_progress_counts_every_step(ann: nn.Sequential) -> None:
    seen: list[tuple[int, int]] = []
    settings = SynthesisSettings(count=5, iterations=3, batch_size=2)
    synthesize(
        ann, input_shape=(1, 8, 8), settings=settings, progress=lambda done, total, _: seen.append((done, total))
    )
    assert seen == [(i, 9) for i in range(1, 10)]


def test_save_and_load(made, tmp_path: Path) -> None:
    made.save(tmp_path)
    found = load_synthetic(tmp_path)
    for field in ("images", "soft_labels", "classes"):
        np.testing.assert_array_equal(getattr(found, field), getattr(made, field))
        assert getattr(found, field).dtype == getattr(made, field).dtype
    assert found.settings == SETTINGS


def test_damaged_sets_are_refused(made, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"synthetic\.json: cannot be read"):
        load_synthetic(tmp_path)
    made.save(tmp_path)
    path = tmp_path / "synthetic.json"
    good = json.loads(path.read_text())
    for wrong in ({}, {"settings": None}, {"settings": {"nothing": 1}}, {"settings": {**good["settings"], "what": 1}}):
        path.write_text(json.dumps(wrong))
        with pytest.raises(BadFile, match="is no synthetic set"):
            load_synthetic(tmp_path)
    path.write_text(json.dumps(good))
    arrays = tmp_path / "synthetic.npz"
    arrays.write_bytes(arrays.read_bytes()[:300])
    with pytest.raises(BadFile, match="is not a readable npz"):
        load_synthetic(tmp_path)


def test_refusals() -> None:
    with pytest.raises(ConfigurationError, match="no linear output layer"):
        synthesize(nn.Sequential(nn.ReLU()), input_shape=(4,))
    with pytest.raises(ConfigurationError, match="no image is asked for"):
        synthesize(nn.Sequential(nn.Linear(4, 2)), input_shape=(4,), settings=SynthesisSettings(count=0))
