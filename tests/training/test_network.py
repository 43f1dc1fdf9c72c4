"""Training on a data set, and measuring what came out."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.data import Dataset, load_dataset
from neuroprivacy.networks import SpikingNetwork, SpikingSpec, build_ann, model_spec
from neuroprivacy.program.encoder import Encoder, encode
from neuroprivacy.training import FitSettings, accuracy, logits, train
from neuroprivacy.training.network import shifted

SETTINGS = FitSettings(epochs=2, batch_size=32, lr=5e-3, threads=1)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits").subset(train=300, test=100)


def small(digits: Dataset, **options: object):
    return model_spec("mlp", input_shape=digits.sample_shape, classes=10, hidden=(32,), **options)


def test_an_ann_learns_and_is_seeded(digits: Dataset) -> None:
    nets = [train(small(digits), dataset=digits, settings=replace(SETTINGS, epochs=10, seed=s)) for s in (1, 1, 2)]
    assert accuracy(nets[0], digits.test_images, digits.test_labels) > 0.7
    assert torch.equal(nets[0].fc1.weight, nets[1].fc1.weight)
    assert not torch.equal(nets[0].fc1.weight, nets[2].fc1.weight)
    assert not nets[0].training


@pytest.mark.parametrize("schedule", ["ideal", "chip"])
def test_a_spiking_network_learns_directly(digits: Dataset, schedule: str) -> None:
    spec = SpikingSpec(beta=0.95, coding="direct", time_steps=4, surrogate="atan", schedule=schedule)
    net = train(
        small(digits, bias=True),
        dataset=digits,
        settings=replace(SETTINGS, epochs=8),
        spiking=spec,
    )
    assert isinstance(net, SpikingNetwork)
    assert accuracy(net, digits.test_images, digits.test_labels) > 0.5


def test_a_spiking_network_is_measured_on_the_integers_that_are_deployed(digits: Dataset) -> None:
    net = train(
        small(digits),
        dataset=digits,
        settings=SETTINGS,
        spiking=SpikingSpec(coding="poisson", time_steps=5, surrogate="atan"),
    )
    images = digits.test_images[:20]
    spikes = encode(images, encoder=Encoder(coding="poisson", time_steps=5, seed=7), first=0)
    with torch.no_grad():
        expected = net(torch.from_numpy(spikes.swapaxes(0, 1).astype(np.float32))).readout.numpy()
    np.testing.assert_allclose(logits(net, images, batch_size=20, seed=7), expected, atol=1e-5)
    # The same whatever the batch: sample 13 has its own spikes.
    np.testing.assert_allclose(logits(net, images, batch_size=7, seed=7), expected, atol=1e-5)


def test_shifts_move_images_and_bring_in_zeros() -> None:
    x = torch.zeros(400, 2, 5, 5)
    x[:, :, 2, 2] = 1
    moved = shifted(x, 2, flip=False)
    assert moved.shape == x.shape
    assert torch.equal(moved.sum((2, 3)), torch.ones(400, 2))
    assert torch.equal(moved[:, 0], moved[:, 1])
    places = {int(i) for i in moved[:, 0].flatten(1).argmax(1)}
    assert places == set(range(25))
    assert torch.equal(shifted(x, 0, flip=False), x)


def test_half_of_the_images_are_mirrored() -> None:
    x = torch.zeros(1000, 1, 3, 3)
    x[:, 0, 1, 0] = 1
    mirrored = shifted(x, 0, flip=True)[:, 0, 1, 2]
    assert 400 < mirrored.sum() < 600


def test_spiking_settings_of_a_network_that_exists_are_refused() -> None:
    data = load_dataset("digits")
    ann = build_ann(model_spec("mlp", input_shape=data.sample_shape, classes=10, hidden=(4,)))
    with pytest.raises(ConfigurationError, match="train: `spiking` describes a fresh network"):
        train(ann, dataset=data, settings=FitSettings(epochs=1), spiking=SpikingSpec())
