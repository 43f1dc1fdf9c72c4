"""Graphs that families and conversion do not make: shared layers, several outputs, long linear paths, odd names."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from neuroprivacy.core.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.divergence.runs import run_named
from neuroprivacy.export import from_nir, to_nir
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.networks import (
    Node,
    SpikingNetwork,
    SpikingNeuron,
    SpikingSpec,
    load_checkpoint,
    quantize_weights,
    save_checkpoint,
)
from neuroprivacy.networks.families import sequential_network
from neuroprivacy.networks.layer_graph import Kind
from neuroprivacy.networks.layers import Delay
from neuroprivacy.networks.quantized import SCALE


def node(name: str, kind: Kind, *sources: str, size: int = 4) -> Node:
    return Node(name=name, kind=kind, sources=sources, shape=(size,))


def linear(outputs: int = 4, *, bias: bool = False) -> nn.Linear:
    layer = nn.Linear(4, outputs, bias=bias)
    nn.init.uniform_(layer.weight, -0.3, 1)
    return layer


def events(seed: int = 0) -> Tensor:
    return (torch.rand(8, 5, 4, generator=torch.Generator().manual_seed(seed)) > 0.5).float()


def shared_layer(**fields: object) -> SpikingNetwork:
    """`fc` leads into two populations of different latency."""
    torch.manual_seed(0)
    nodes = [
        node("input", "input"), node("first", "layer", "input"), node("a", "neuron", "first"),
        node("fc", "layer", "a"), node("b", "neuron", "fc"), node("w", "layer", "b"), node("sum", "add", "fc", "w"),
        node("c", "neuron", "sum"), node("out", "layer", "c", size=3),
    ]  # fmt: skip
    layers = {
        "first": linear(), "a": SpikingNeuron(threshold=0.3), "fc": linear(), "b": SpikingNeuron(threshold=0.2),
        "w": linear(), "c": SpikingNeuron(threshold=0.2), "out": linear(3),
    }  # fmt: skip
    return SpikingNetwork(SpikingSpec(time_steps=8, coding=None, **fields), nodes, layers)  # type: ignore[arg-type]


def test_a_layer_shared_by_populations_of_different_latency() -> None:
    """Without biases the chip's readout is the ideal one, some time steps later."""
    net = shared_layer()
    torch.testing.assert_close(net(events(), schedule="chip").readout, net(events()).readout)


def test_an_output_is_counted_over_its_own_window() -> None:
    whole = shared_layer()
    net = SpikingNetwork(
        SpikingSpec(time_steps=8, coding=None, readout="spike_count"), whole.nodes, whole.layers, outputs=["a", "c"]
    )
    assert torch.equal(net(events(), schedule="chip").readout, net(events()).readout)


@pytest.mark.parametrize("bits", [None, 4])
def test_gradient_checkpointing_of_layers_that_share(bits: int | None) -> None:
    """A weight scale that several layers share gets its gradient once."""
    net = shared_layer() if bits is None else quantize_weights(shared_layer(), bits)
    found = []
    for recompute in (False, True):
        net.recompute = recompute
        net.zero_grad()
        net(events()).readout.square().sum().backward()
        found.append({name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    assert bits is None or any(name.endswith(SCALE) for name in found[0])
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, msg=name)


@pytest.mark.parametrize("between", [Delay(2.0), nn.Dropout(0.2)])
def test_a_shortcut_without_weights_is_quantized_whatever_is_on_it(between: nn.Module) -> None:
    torch.manual_seed(0)
    nodes = [
        node("input", "input"), node("first", "layer", "input"), node("a", "neuron", "first"),
        node("fc", "layer", "a"), node("short", "layer", "a"), node("sum", "add", "fc", "short"),
        node("c", "neuron", "sum"), node("out", "layer", "c"),
    ]  # fmt: skip
    layers = {
        "first": linear(), "a": SpikingNeuron(threshold=0.3), "fc": linear(), "short": deepcopy(between),
        "c": SpikingNeuron(threshold=0.7), "out": linear(),
    }  # fmt: skip
    net = SpikingNetwork(SpikingSpec(time_steps=8, coding=None), nodes, layers)
    trained = quantize_weights(net, 4, state_target="loihi2")
    expected = trained(events(), record=True).spikes
    lowered = lower(to_nir(trained), target="loihi2", options=LowerOptions(weight_bits=4))
    inputs = {lowered.program.inputs[0].name: events().numpy().astype(np.int64).swapaxes(0, 1)}
    found = run_named("reference", lowered, inputs).spikes
    for name in ("a", "c"):
        assert np.array_equal(found[name], expected[name].detach().numpy().swapaxes(0, 1)), name


def test_a_sum_of_one_value_with_itself_is_quantized() -> None:
    nodes = [
        node("input", "input"), node("a", "neuron", "input"), node("sum", "add", "a", "a"), node("c", "neuron", "sum"),
        node("out", "layer", "c"),
    ]  # fmt: skip
    layers = {"a": SpikingNeuron(threshold=0.3), "c": SpikingNeuron(threshold=0.2), "out": linear()}
    net = quantize_weights(SpikingNetwork(SpikingSpec(time_steps=8, coding=None), nodes, layers), 4)
    names = [each.name for each in net.nodes]
    assert len(names) == len(set(names))


def test_many_linear_sums_in_a_row_are_planned_at_once() -> None:
    """30 residual blocks without neurons have 2^30 paths."""
    nodes, layers, last = [node("input", "input")], {}, "input"
    for i in range(30):
        layers[f"l{i}"] = linear()
        nodes += [node(f"l{i}", "layer", last), node(f"sum{i}", "add", last, f"l{i}")]
        last = f"sum{i}"
    assert SpikingNetwork(SpikingSpec(coding=None), nodes, layers).plan.populations[0].sources == ("input",)


@pytest.mark.parametrize(
    ("nodes", "outputs", "text"),
    [
        ([node("a", "neuron", "a")], None, "nodes: there is no input"),
        ([node("input", "input"), node("x.y", "layer", "input")], None, r"x\.y: torch takes no module of this name"),
        ([node("input", "input"), node("keys", "layer", "input")], None, "keys: torch takes no module of this name"),
        ([node("input", "input"), *[node("l", "layer", "input")] * 2], None, "l: two nodes have this name"),
        ([node("input", "input"), node("l", "layer", "input")], ["m"], "outputs: no node is named m"),
        (
            [node("input", "input"), node("n", "neuron", "input", "n")],
            None,
            "n: has 2 sources and reads one; put a sum",
        ),
        ([node("input", "input"), node("sum", "add")], None, "sum: is a sum without sources"),
    ],
)
def test_what_is_no_network_is_refused(nodes: list[Node], outputs: list[str] | None, text: str) -> None:
    layers: dict[str, nn.Module] = {n.name: linear() for n in nodes if n.kind == "layer"}
    layers |= {n.name: SpikingNeuron() for n in nodes if n.kind == "neuron"}
    with pytest.raises(ConfigurationError, match=text):
        SpikingNetwork(SpikingSpec(coding=None), nodes, layers, outputs=outputs)


def test_the_membrane_of_neurons_that_spike_is_not_read() -> None:
    with pytest.raises(ConfigurationError, match="n: spikes, and its membrane is reset; use readout='spike_count'"):
        sequential_network(SpikingSpec(coding=None), {"fc": linear(), "n": SpikingNeuron()}, input_shape=(4,))


def chain(last: str = "out", **neuron: object) -> SpikingNetwork:
    layers = {"fc": linear(), "n": SpikingNeuron(**neuron), last: linear()}  # type: ignore[arg-type]
    return sequential_network(SpikingSpec(time_steps=8, coding=None), layers, input_shape=(4,))


def test_the_reset_of_the_neurons_is_exported() -> None:
    """The settings say hard; the neurons have a soft one."""
    net = chain(reset="soft", threshold=0.3)
    found = from_nir(to_nir(net))
    assert found.neurons()["n"].reset == "soft"
    torch.testing.assert_close(found(events()).readout, net(events()).readout)


def test_two_reset_rules_are_not_exported() -> None:
    layers = {"n": SpikingNeuron(reset="soft"), "fc": linear(), "m": SpikingNeuron(), "out": linear()}
    net = sequential_network(SpikingSpec(coding=None), layers, input_shape=(4,))
    with pytest.raises(UnsupportedNode, match="n: has a soft reset and m a hard one; give all neurons one rule"):
        to_nir(net)


def test_a_layer_may_be_called_output() -> None:
    net = chain("output", threshold=0.3)
    torch.testing.assert_close(from_nir(to_nir(net))(events()).readout, net(events()).readout)


def test_values_that_are_read_as_maps_are_exported() -> None:
    """NIR has no Unflatten: neurons, convolutions and pools behind one state the shape that they read."""
    torch.manual_seed(0)
    layers = {
        "maps": nn.Unflatten(1, (1, 2, 3)), "n": SpikingNeuron(threshold=0.2, beta=torch.rand(1, 2, 3)),
        "conv": nn.Conv2d(1, 2, 2), "m": SpikingNeuron(threshold=0.1), "flat": nn.Flatten(), "fc": nn.Linear(4, 6),
        "again": nn.Unflatten(1, (1, 2, 3)), "conv2": nn.Conv2d(1, 1, 2), "flat2": nn.Flatten(),
        "k": SpikingNeuron(threshold=0.1), "out": nn.Linear(2, 3),
    }  # fmt: skip
    net = sequential_network(SpikingSpec(time_steps=8, coding=None), layers, input_shape=(6,))
    x = (torch.rand(8, 5, 6) > 0.4).float()
    torch.testing.assert_close(from_nir(to_nir(net))(x).readout, net(x).readout)


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.AvgPool2d(2, ceil_mode=True), "odd: ceil_mode, divisor_override and count_include_pad=False"),
        (nn.Conv2d(1, 1, 2, stride=2, padding=1, padding_mode="circular"), "odd: padding_mode 'circular' has no form"),
    ],
)
def test_options_that_no_file_holds_are_refused(layer: nn.Module, text: str, tmp_path: object) -> None:
    layers = {"odd": layer, "flat": nn.Flatten(), "fc": nn.Linear(9, 4), "n": SpikingNeuron(), "out": linear()}
    net = sequential_network(SpikingSpec(), layers, input_shape=(1, 5, 5))
    with pytest.raises(UnsupportedNode, match=text):
        to_nir(net)
    with pytest.raises(UnsupportedNode, match=text):
        save_checkpoint(net, tmp_path)  # type: ignore[arg-type]


def test_double_precision_stays_in_a_checkpoint(tmp_path: object) -> None:
    net = shared_layer().double()
    save_checkpoint(net, tmp_path)  # type: ignore[arg-type]
    found = load_checkpoint(tmp_path).spiking  # type: ignore[arg-type]
    assert torch.equal(found(events().double()).readout, net(events().double()).readout)


@pytest.mark.parametrize(("v_init", "beta"), [(0.5, 0.5), (0.0, 0.0)])
def test_neurons_that_do_not_spike_are_exported_as_such_or_refused(v_init: float, beta: float) -> None:
    layers = {"fc": linear(), "n": SpikingNeuron(fires=False, beta=beta, v_init=v_init)}
    net = sequential_network(SpikingSpec(time_steps=8, coding=None), layers, input_shape=(4,))
    if v_init:
        with pytest.raises(UnsupportedNode, match="n: an initial membrane of neurons that do not spike"):
            to_nir(net)
    else:
        torch.testing.assert_close(from_nir(to_nir(net))(events()).readout, net(events()).readout)
