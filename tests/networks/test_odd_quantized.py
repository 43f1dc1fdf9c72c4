"""Quantized networks that families do not make: double precision, factors alone, flattened maps of several scales."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from neuroprivacy.divergence.runs import run_named
from neuroprivacy.export import to_nir
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
    sequential_network,
)
from neuroprivacy.networks.layers import Scale
from neuroprivacy.networks.quantize import clamp_biases


def shortcut() -> SpikingNetwork:
    torch.manual_seed(0)
    nodes = [
        Node(name="input", kind="input", sources=(), shape=(6,)),
        Node(name="first", kind="layer", sources=("input",), shape=(8,)),
        Node(name="a", kind="neuron", sources=("first",), shape=(8,)),
        Node(name="fc", kind="layer", sources=("a",), shape=(8,)),
        Node(name="sum", kind="add", sources=("fc", "a"), shape=(8,)),
        Node(name="b", kind="neuron", sources=("sum",), shape=(8,)),
        Node(name="out", kind="layer", sources=("b",), shape=(3,)),
    ]
    layers = {
        "first": nn.Linear(6, 8), "a": SpikingNeuron(threshold=0.3), "fc": nn.Linear(8, 8),
        "b": SpikingNeuron(threshold=0.5), "out": nn.Linear(8, 3),
    }  # fmt: skip
    return SpikingNetwork(SpikingSpec(time_steps=6), nodes, layers)


def images() -> torch.Tensor:
    return torch.rand(1, 5, 6, generator=torch.Generator().manual_seed(1))


def loaded(net: SpikingNetwork, folder: Path) -> SpikingNetwork:
    save_checkpoint(net, folder)
    return load_checkpoint(folder).spiking


@pytest.mark.parametrize("state_target", [None, "loihi2"])
def test_double_precision_stays_when_weights_are_quantized(state_target: str | None, tmp_path: Path) -> None:
    """Shortcut factors and weight scales, which brevitas makes in single precision, included."""
    net = quantize_weights(shortcut().double(), 4, state_target=state_target)
    assert {value.dtype for value in net.state_dict().values()} == {torch.float64}
    expected = net(images().double()).readout
    assert torch.equal(loaded(net, tmp_path)(images().double()).readout, expected)


def test_a_factor_alone_before_neurons_is_stored_in_a_checkpoint(tmp_path: Path) -> None:
    layers = {"factor": Scale(0.7), "n": SpikingNeuron(), "out": nn.Linear(6, 3)}
    net = quantize_weights(sequential_network(SpikingSpec(time_steps=6), layers, input_shape=(6,)), 4)
    assert torch.equal(loaded(net, tmp_path)(images()).readout, net(images()).readout)


def test_biases_of_flattened_maps_of_several_scales_are_clamped() -> None:
    """A channel has one bias; behind the flattening each value has a weight scale."""
    torch.manual_seed(0)
    layers = {
        "conv": nn.Conv2d(1, 4, 3), "flat": nn.Flatten(), "n": SpikingNeuron(threshold=0.3), "out": nn.Linear(16, 3),
    }  # fmt: skip
    net = sequential_network(SpikingSpec(time_steps=4), layers, input_shape=(1, 4, 4))
    with torch.no_grad():
        net.layers["conv"].weight.mul_(torch.tensor([1.0, 0.2, 0.05, 0.01]).view(4, 1, 1, 1))  # type: ignore[operator]
    trained = quantize_weights(net, 4, state_target="loihi2", populations=4)
    clamp_biases(trained)
    values = torch.randint(0, 256, (4, 5, 1, 4, 4), generator=torch.Generator().manual_seed(2))
    lowered = lower(to_nir(trained), target="loihi2", options=LowerOptions(weight_bits=4, populations=4))
    inputs = {lowered.program.inputs[0].name: values.flatten(2).numpy().astype(np.int64).swapaxes(0, 1)}
    scale = lowered.program.inputs[0].scale
    expected = run_named(
        "torch", lowered, inputs, torch_run=lambda given: recorded_spikes(trained, given["input"], scale=scale)
    ).spikes
    found = run_named("reference", lowered, inputs).spikes
    assert len(expected) > 1
    for name, spikes in expected.items():
        assert np.array_equal(found[name], spikes), name
