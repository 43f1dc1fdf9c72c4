"""A user's spiking network comes back bit for bit, is retrained, and is refused where its description was changed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from neuroprivacy.conversion import convert
from neuroprivacy.core.errors import BadFile, ConfigurationError
from neuroprivacy.divergence import trace
from neuroprivacy.encryption.class_encryption import EncryptionSettings, encrypt
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph.encode import encode_for
from neuroprivacy.lowering import lower
from neuroprivacy.networks import SpikingNetwork, load_checkpoint, recorded_spikes, save_checkpoint
from neuroprivacy.networks.checkpoint import content_digest
from neuroprivacy.networks.description import describe_network
from neuroprivacy.training import FitSettings, accuracy, logits


class Residual(nn.Module):
    """A shortcut, a pool, a kernel with options."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, (3, 1), padding=(1, 0))
        self.second = nn.Conv2d(4, 4, 3, padding="same", bias=False)
        self.relu, self.pool = nn.ReLU(), nn.AvgPool2d(2)
        self.out = nn.Linear(64, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(batch, 1, 8, 8) -> (batch, 3)."""
        x = self.relu(self.first(x))
        x = self.relu(self.second(x) + x)
        found: torch.Tensor = self.out(self.pool(x).flatten(1))
        return found


@pytest.fixture(scope="module")
def pair() -> tuple[nn.Module, SpikingNetwork, Any]:
    torch.manual_seed(1)
    ann = Residual().eval()
    images = np.random.default_rng(0).random((40, 1, 8, 8), np.float32)
    return ann, convert(ann, calibration=images, time_steps=6, coding="direct", reset="soft"), images


def test_it_comes_back_bit_for_bit(pair: Any, tmp_path: Path) -> None:
    _, net, images = pair
    found = load_checkpoint(save_checkpoint(net, tmp_path, info={"a": 1}))
    back = found.spiking
    assert isinstance(back, SpikingNetwork)
    assert (back.nodes, back.spec, found.info) == (net.nodes, net.spec, {"a": 1})
    np.testing.assert_array_equal(logits(net, images), logits(back, images))
    save_checkpoint(back, tmp_path / "again")
    assert (tmp_path / "again" / "weights.safetensors").read_bytes() == (tmp_path / "weights.safetensors").read_bytes()
    with pytest.raises(ConfigurationError, match="spiking network where an ANN is needed"):
        _ = found.ann


def test_it_is_retrained_and_keeps_its_kind(pair: Any, tmp_path: Path) -> None:
    ann, net, images = pair
    settings = EncryptionSettings(shift=0, fit=FitSettings(epochs=2, batch_size=20, lr=1e-3, threads=1))
    made = encrypt(net, teacher=ann, images=images, settings=settings)
    trained = made.network
    assert isinstance(trained, SpikingNetwork)
    assert all(change.relative_distance > 0 for change in made.weights.values())
    labels = logits(ann, images).argmax(1)
    assert 0 <= accuracy(trained, images, labels) <= 1
    program = lower(to_nir(trained), target="loihi2-soft").program
    assert program.readout == "membrane"


def test_its_torch_run_is_that_of_its_graph(pair: Any) -> None:
    _, net, images = pair
    lowered = lower(to_nir(net), target="loihi2-soft")
    inputs = encode_for(to_nir(net), images[:5])
    port = lowered.program.inputs[0]
    found = trace(
        lowered, between=("torch", "float"), inputs=inputs,
        torch_run=lambda given: recorded_spikes(net, given[port.name], scale=port.scale),
    )  # fmt: skip
    # Single precision decides a few sums next to the threshold otherwise.
    assert all(layer.differing < 0.01 for layer in found.layers)
    assert any(layer.rates[0] > 0 for layer in found.layers)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda g: g["layers"]["out"].update(layer="Bilinear"), "'Bilinear' is no layer that can be made"),
        (lambda g: g["layers"]["out"].update(in_features=10**9), "does not describe its weights"),
        (lambda g: g["layers"]["out"].pop("in_features"), "does not describe its weights"),
        (lambda g: g["nodes"].reverse(), "which no earlier node computes"),
        (lambda g: g["layers"].pop("out"), "has no module"),
    ],
)
def test_a_changed_description_is_refused(change: Any, message: str, pair: Any, tmp_path: Path) -> None:
    save_checkpoint(pair[1], tmp_path)
    path = tmp_path / "model.json"
    described = json.loads(path.read_text())
    change(described["spec"])
    described["content_sha256"] = content_digest(described)
    path.write_text(json.dumps(described))
    with pytest.raises(BadFile, match=message):
        load_checkpoint(tmp_path)


def test_an_unknown_layer_is_not_written(pair: Any) -> None:
    net = SpikingNetwork(pair[1].spec, pair[1].nodes, {**pair[1].layers, "out": nn.Bilinear(1, 1, 1)})
    with pytest.raises(ConfigurationError, match=r"out: Bilinear cannot be stored in a checkpoint; save it as \.nir"):
        describe_network(net)
