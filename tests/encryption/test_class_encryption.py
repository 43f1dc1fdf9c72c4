"""Class encryption training: the loss as the paper writes it, and what it does and does not change."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from neuroprivacy.conversion import convert
from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.encryption.class_encryption import EncryptionSettings, distillation_loss, encrypt, readout_scale
from neuroprivacy.networks import SpikingNetwork, build_ann, model_spec, spiking_input

IMAGES = np.random.default_rng(0).random((40, 1, 8, 8), np.float32)
SPEC = model_spec("convnet", input_shape=(1, 8, 8), classes=4, hidden=(8,), width=0.25)
BASE = EncryptionSettings()
SETTINGS = replace(BASE, shift=1, fit=replace(BASE.fit, epochs=2, batch_size=20, threads=1, lr=1e-3))


@pytest.fixture(scope="module")
def teacher() -> nn.Sequential:
    torch.manual_seed(3)
    return build_ann(SPEC).eval()


@pytest.fixture(scope="module")
def converted(teacher: nn.Sequential) -> SpikingNetwork:
    return convert(teacher, calibration=IMAGES, time_steps=5, coding="direct")


@pytest.mark.parametrize(("mix", "temperature"), [(0.0, 20.0), (1.0, 3.0), (0.7, 20.0)])
def test_the_loss_is_that_of_equation_3(mix: float, temperature: float) -> None:
    rng = np.random.default_rng(1)
    own, answer = rng.normal(size=(6, 5)), 4 * rng.normal(size=(6, 5))

    def softmax(z: np.ndarray) -> np.ndarray:
        e = np.exp(z - z.max(1, keepdims=True))
        return e / e.sum(1, keepdims=True)

    label = answer.argmax(1)
    cross_entropy = -np.log(softmax(own)[np.arange(6), label]).mean()
    a, s = softmax(answer / temperature), softmax(own / temperature)
    divergence = (a * np.log(a / s)).sum(1).mean()
    expected = (1 - mix) * cross_entropy + mix * temperature**2 * divergence
    found = distillation_loss(torch.from_numpy(own), torch.from_numpy(answer), mix=mix, temperature=temperature)
    assert float(found) == pytest.approx(expected, rel=1e-9)


def test_the_scale_is_the_least_squares_one(teacher: nn.Sequential, converted: SpikingNetwork) -> None:
    images = torch.from_numpy(IMAGES)
    with torch.no_grad():
        readout = converted(spiking_input(images, spec=converted.spec)).readout.numpy()
        logits = teacher(images).numpy()
    centred = [x - x.mean(1, keepdims=True) for x in (readout, logits)]
    (expected,), *_ = np.linalg.lstsq(centred[0].reshape(-1, 1), centred[1].reshape(-1), rcond=None)
    assert readout_scale(converted, teacher, images, batch=7) == pytest.approx(expected, rel=1e-4)


def test_weights_move_thresholds_do_not_and_the_loss_falls(teacher: nn.Sequential, converted: SpikingNetwork) -> None:
    before = {name: value.clone() for name, value in converted.state_dict().items()}
    taught = {name: value.clone() for name, value in teacher.state_dict().items()}
    settings = replace(SETTINGS, fit=replace(SETTINGS.fit, epochs=6))
    made = encrypt(converted, teacher=teacher, images=IMAGES, settings=settings)
    net = made.network
    assert len(made.loss) == 6
    assert made.loss[-1] < made.loss[0]
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]) == name.endswith("threshold")
    assert all(torch.equal(value, converted.state_dict()[name]) for name, value in before.items())
    assert all(torch.equal(value, teacher.state_dict()[name]) for name, value in taught.items())
    assert set(made.weights) == {"conv1.weight", "conv2.weight", "fc1.weight", "out.weight"}
    for name, change in made.weights.items():
        old, new = before[f"layers.{name}"].flatten(), net.state_dict()[f"layers.{name}"].flatten()
        assert change.relative_distance == pytest.approx(float((new - old).norm() / old.norm()), rel=1e-4)
        assert change.cosine == pytest.approx(float(nn.functional.cosine_similarity(old, new, dim=0)), rel=1e-4)
        assert change.relative_distance > 0
    assert not net.training


def test_seeded_and_resumable(teacher: nn.Sequential, converted: SpikingNetwork, tmp_path: Path) -> None:
    def bits(net: SpikingNetwork) -> list[bytes]:
        return [value.numpy().tobytes() for value in net.state_dict().values()]

    def stop(done: int, total: int, text: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    whole = encrypt(converted, teacher=teacher, images=IMAGES, settings=SETTINGS)
    with pytest.raises(KeyboardInterrupt):
        encrypt(converted, teacher=teacher, images=IMAGES, settings=SETTINGS, state_folder=tmp_path, progress=stop)
    torch.rand(9)
    resumed = encrypt(converted, teacher=teacher, images=IMAGES, settings=SETTINGS, state_folder=tmp_path, resume=True)
    assert bits(resumed.network) == bits(whole.network)
    assert len(resumed.loss) == 2
    other = encrypt(
        converted, teacher=teacher, images=IMAGES, settings=replace(SETTINGS, fit=replace(SETTINGS.fit, seed=1))
    )
    assert bits(other.network) != bits(whole.network)


def test_tables_are_not_shifted() -> None:
    spec = model_spec("mlp", input_shape=(6,), classes=2, hidden=(5,))
    torch.manual_seed(0)
    ann = build_ann(spec)
    rows = np.random.default_rng(2).random((20, 6), np.float32)
    net = convert(ann, calibration=rows, time_steps=3)
    encrypt(net, teacher=ann, images=rows, settings=SETTINGS)


def test_samples_of_another_shape_are_refused(teacher: nn.Sequential, converted: SpikingNetwork) -> None:
    with pytest.raises(ConfigurationError, match=r"images: shape \(8, 8\) is not the network's \(1, 8, 8\)"):
        encrypt(converted, teacher=teacher, images=IMAGES[:, 0])
