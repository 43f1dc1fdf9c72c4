"""Quantization-aware training of users' networks: what is trained is what is deployed."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import neuroprivacy as npv
from neuroprivacy.conversion import convert
from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.data import Dataset
from neuroprivacy.export import from_nir, to_nir
from neuroprivacy.graph import load_nir, save_nir
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.networks import (
    Node,
    SpikingNetwork,
    SpikingNeuron,
    SpikingSpec,
    load_checkpoint,
    quantize_weights,
    recorded_spikes,
    save_checkpoint,
)
from neuroprivacy.networks.layers import Scale
from neuroprivacy.runtime.backend import Record, check_inputs
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.runtime.simulation import encode_samples
from neuroprivacy.training import FitSettings, event_logits, logits, train, train_on_events
from neuroprivacy.training.quantized_start import quantized_start

SETTINGS = FitSettings(epochs=1, batch_size=32, lr=1e-3, threads=1)


@cache
def digits() -> Dataset:
    return npv.load_dataset("digits").subset(train=300, test=60)


class Residual(nn.Module):
    """Batch norm, an identity shortcut, a shortcut with weights, pools, as users have them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv1, self.bn1 = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)
        self.pool, self.conv, self.down = nn.AvgPool2d(2), nn.Conv2d(6, 12, 3, padding=1), nn.Conv2d(6, 12, 1)
        self.last_pool, self.out = nn.AdaptiveAvgPool2d(2), nn.Linear(48, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(x)))
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))) + x)
        x = self.pool(x)
        x = F.relu(self.conv(x) + self.down(x))
        return self.out(self.last_pool(x).flatten(1))


@cache
def residual() -> nn.Module:
    torch.manual_seed(0)
    net = Residual()
    optimizer = torch.optim.Adam(net.parameters(), lr=4e-3)
    x, y = torch.from_numpy(digits().train_images.copy()), torch.from_numpy(digits().train_labels.copy())
    for _ in range(6):
        for batch in torch.randperm(len(x)).split(32):
            optimizer.zero_grad()
            F.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
    return net.eval()


def differing(net: SpikingNetwork, target: str, bits: int, x: np.ndarray) -> tuple[int, int, np.ndarray]:
    """Spikes that the Program and the torch network do not share, how many fire, and the Program's predictions."""
    lowered = lower(to_nir(net), target=target, options=LowerOptions(weight_bits=bits, populations=4))
    assert not any("rounded again" in str(issue) for issue in lowered.diagnostics)
    assert not any("cannot be" in str(issue) for issue in lowered.diagnostics)
    program, steps = lowered.program, x.shape[1]
    got = run_reference(program, check_inputs(program, x), record=Record(spikes=True))
    assert got.layer_spikes is not None
    latencies, parts = lowered.real_network.latencies, lowered.real_network.populations
    wrong = fired = 0
    flat = x.reshape(*x.shape[:2], -1)
    for name, spikes in recorded_spikes(net, flat, scale=program.inputs[0].scale).items():
        fired += int(spikes.sum())
        for part, neurons in parts.get(name, {name: np.arange(spikes.shape[2])}).items():
            begin = latencies[part]
            wrong += int((spikes[:, :, neurons] != got.layer_spikes[part][:, begin : begin + steps]).sum())
    # Each output in units of its own scale.
    return wrong, fired, (got.readout * np.array(program.layers[-1].scale)).argmax(1)


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize(("target", "reset"), [("loihi2", "hard"), ("loihi2-soft", "soft"), ("int8", "hard")])
def test_a_converted_residual_network_deploys_exactly(target: str, reset: str, bits: int, tmp_path: Path) -> None:
    data = digits()
    net = convert(residual(), calibration=data.train_images, reset=reset, time_steps=12)  # type: ignore[arg-type]
    start = quantized_start(net, bits=bits, target=target, populations=4, images=data.train_images[:60])
    trained = train(start, dataset=data, settings=SETTINGS)
    assert isinstance(trained, SpikingNetwork)
    stored = load_checkpoint(save_checkpoint(trained, tmp_path / "net")).spiking
    program = lower(to_nir(stored), target=target, options=LowerOptions(weight_bits=bits)).program
    wrong, fired, prediction = differing(stored, target, bits, encode_samples(program, data.test_images))
    assert wrong == 0
    assert fired > 1000
    # Sums in single precision decide a tie otherwise.
    assert (prediction != logits(stored, data.test_images).argmax(1)).sum() <= 1


def users_network() -> nn.Module:
    """Convolutions and leaky neurons of snnTorch, ending in a linear layer."""
    torch.manual_seed(1)
    leaky = {"beta": 0.9, "init_hidden": True, "reset_mechanism": "zero", "reset_delay": False, "threshold": 0.5}
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), snn.Leaky(**leaky), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3, bias=False),
        snn.Leaky(**leaky), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("target", ["loihi2", "int8"])
def test_a_users_snntorch_network_deploys_exactly(target: str, bits: int, tmp_path: Path) -> None:
    data = digits()
    spikes = (data.train_images[:, None] > np.random.default_rng(0).random((1, 8, 1, 8, 8))).astype(np.float32)
    graph = load_nir(save_nir(to_nir(users_network(), input_shape=(1, 8, 8)), tmp_path / "a.nir"))
    net = quantize_weights(from_nir(graph, time_steps=8), bits, state_target=target)  # type: ignore[arg-type]
    train_on_events(net, spikes, data.train_labels, settings=SETTINGS)
    x = spikes[:40].astype(np.int64)
    wrong, fired, prediction = differing(net, target, bits, x)
    assert wrong == 0
    assert fired > 500
    assert (prediction != event_logits(net, spikes[:40]).argmax(1)).sum() <= 1


def branched(*layers: str) -> SpikingNetwork:
    """in -> act -> two paths -> sum -> last -> out."""
    made: dict[str, nn.Module] = {
        "first": nn.Conv2d(1, 4, 3, padding=1), "act": SpikingNeuron(), "conv": nn.Conv2d(4, 4, 3, padding=1),
        "scale": Scale(0.7), "pool": nn.AvgPool2d(3, 1, 1), "last": SpikingNeuron(), "flat": nn.Flatten(),
        "out": nn.Linear(256, 3), "again": nn.Conv2d(4, 4, 1),
    }  # fmt: skip
    shape = (4, 8, 8)
    nodes = [
        Node(name="input", kind="input", sources=(), shape=(1, 8, 8)),
        Node(name="first", kind="layer", sources=("input",), shape=shape),
        Node(name="act", kind="neuron", sources=("first",), shape=shape),
        *(Node(name=name, kind="layer", sources=("act",), shape=shape) for name in layers if name != "again"),
    ]
    if "again" in layers:
        nodes.append(Node(name="again", kind="layer", sources=(layers[0],), shape=shape))
    ends = [node.name for node in nodes if node.name in layers and not any(node.name in n.sources for n in nodes)]
    nodes += [
        Node(name="sum", kind="add", sources=(*ends, "act"), shape=shape),
        Node(name="last", kind="neuron", sources=("sum",), shape=shape),
        Node(name="flat", kind="layer", sources=("last",), shape=(256,)),
        Node(name="out", kind="layer", sources=("flat",), shape=(3,)),
    ]
    torch.manual_seed(4)
    return SpikingNetwork(SpikingSpec(time_steps=6), nodes, {n.name: made[n.name] for n in nodes if n.name in made})


def test_paths_into_one_population_share_their_scale() -> None:
    net = quantize_weights(branched("conv", "scale"), 4, populations=4)
    scales = [net.layers[name].quant_weight().scale for name in ("conv", "scale", "sum_act")]
    assert all(scale.numel() == 1 and torch.equal(scale, scales[0]) for scale in scales)
    with torch.no_grad():
        value = float(net.layers["scale"].quant_weight().value) / float(scales[0])
        assert value == pytest.approx(round(value), abs=1e-4)
        assert float(net.layers["first"].quant_weight().scale.flatten()[0]) != float(scales[0])


@pytest.mark.parametrize(
    ("layers", "text"),
    [
        (("conv", "again"), "again: follows another layer with weights without neurons between"),
        (("conv", "pool"), "last: an average pool or a graded input stands on some of the paths into it only"),
    ],
)
def test_paths_without_a_common_scale_are_refused(layers: tuple[str, ...], text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        quantize_weights(branched(*layers), 4)


def test_loops_train_quantized_weights_and_not_integer_states() -> None:
    from neuroprivacy.networks.recurrent import recurrent_network

    net = recurrent_network(inputs=5, hidden=6, outputs=3, time_steps=7, seed=0)
    x = (torch.rand(7, 4, 5) < 0.5).float()
    made = quantize_weights(net, 4)
    assert torch.equal(made.layers["w"].quant_weight().scale, made.layers["v"].quant_weight().scale)
    made(x).readout.sum().backward()
    with pytest.raises(ConfigurationError, match="hidden: is part of a loop, whose neurons are not trained in int"):
        quantize_weights(net, 4, state_target="loihi2")(x)
