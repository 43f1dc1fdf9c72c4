"""ANNs of users: what their forward says in steps, what it becomes in spikes and integers, and what is refused."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import neuroprivacy as npv
from neuroprivacy.conversion import ThresholdMethod, convert
from neuroprivacy.conversion.ann import must_compute_the_same, trace_ann
from neuroprivacy.core.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.data import Dataset
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph import load_nir, read_info, save_nir
from neuroprivacy.lowering import LowerOptions, lower, real_network
from neuroprivacy.lowering.float_run import run_float
from neuroprivacy.networks import LayerGraph, SpikingNetwork, load_checkpoint, save_checkpoint, spiking_input
from neuroprivacy.program.encoder import Encoder, encode

STEPS = 32


class Block(nn.Module):
    """A residual block with one ReLU used twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.relu(out)


class Residual(nn.Module):
    """A small residual network of images (1, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.block, self.pool = Block(6), nn.AvgPool2d(2)
        self.conv, self.down = nn.Conv2d(6, 12, 3, padding=1), nn.Conv2d(6, 12, 1)
        self.drop, self.last_pool = nn.Dropout(0.2), nn.AdaptiveAvgPool2d(2)
        self.fc, self.norm, self.out = nn.Linear(48, 24), nn.BatchNorm1d(24), nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn(self.stem(x)))
        x = self.pool(self.block(x))
        x = torch.relu(self.conv(x) + self.down(x))
        x = self.last_pool(self.drop(x))
        x = x.view(x.size(0), -1)
        return self.out(F.dropout(F.relu(self.norm(self.fc(x))), 0.2, self.training))


def random_norms(net: nn.Module) -> nn.Module:
    """The network with statistics and factors of its batch norms as training might leave them."""
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                if module.affine:
                    module.weight.uniform_(-0.5, 2)
                    module.bias.uniform_(-1, 1)
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.2, 3)
    return net.eval()


@cache
def digits() -> Dataset:
    return npv.load_dataset("digits")


@cache
def trained() -> nn.Module:
    """The residual network after four epochs on digits, right for about 19 of 20."""
    torch.manual_seed(0)
    net = Residual()
    optimizer = torch.optim.Adam(net.parameters(), lr=4e-3)
    x, y = torch.from_numpy(digits().train_images.copy()), torch.from_numpy(digits().train_labels.copy())
    for _ in range(4):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            F.cross_entropy(net(x[batch]), y[batch]).backward()
            optimizer.step()
    return net.eval()


def right(net: nn.Module) -> float:
    x = torch.from_numpy(digits().test_images.copy())
    with torch.no_grad():
        out = net(spiking_input(x, spec=net.spec)).readout if isinstance(net, SpikingNetwork) else net(x)
    return float((out.argmax(1).numpy() == digits().test_labels).mean())


class Functions(nn.Module):
    """Every function that is taken, in place of its layer."""

    def forward(self, x: Tensor) -> Tensor:
        a = F.avg_pool2d(self.conv(x), 2, padding=1).relu()
        b = F.adaptive_avg_pool2d(torch.add(a, self.other(a).relu_()), (2, 2))
        b = F.dropout2d(b, 0.5, self.training).contiguous()
        first = torch.flatten(b, 1) + b.reshape(b.shape[0], -1)
        return self.out(self.gone(first.add(b.flatten(start_dim=1)).view(-1, 16)))

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1)
        self.out, self.gone = nn.Linear(16, 3), nn.Identity()


def one_dimensional() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(8, 6, 3, stride=2, padding=1), nn.BatchNorm1d(6), nn.ReLU(), nn.Flatten(), nn.Linear(24, 3)
    )


class Before(nn.Module):
    """Sums that no neuron follows at once, as in a residual network that activates before its convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.blocks = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(3))
        self.out = nn.Linear(256, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = x + block(F.relu(x))
        return self.out(F.relu(x).flatten(1))


class SumsAtTheEnd(nn.Module):
    """Two readouts that add, of spikes that reach them with and without weights; twice the same input."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(64, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        spikes = F.relu(self.first(x + x))
        return self.second(F.relu(spikes + spikes)) + spikes


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual": (Residual, (1, 8, 8)),
    "functions": (Functions, (1, 8, 8)),
    "one-dimensional": (one_dimensional, (8, 8)),
    "activates before": (Before, (1, 8, 8)),
    "sums at the end": (SumsAtTheEnd, (1, 8, 8)),
    "norm without factors": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 9, bias=False), nn.BatchNorm1d(9, affine=False), nn.ReLU(),
                              nn.Linear(9, 3)), (1, 8, 8)
    ),
    "ends in ReLU": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU()), (1, 8, 8)),
    "a pool between neurons": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.ReLU(), nn.Flatten(),
                              nn.Linear(27, 3)), (1, 8, 8)
    ),
    "ends in a pool": (
        lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()), (1, 8, 8)
    ),
    "names of containers": (lambda: nn.Sequential(nn.Flatten(), Named()), (1, 8, 8)),
}  # fmt: skip


class Named(nn.Module):
    """Layers that are called as a container's methods are."""

    def __init__(self) -> None:
        super().__init__()
        self.keys, self.output, self.input = nn.Linear(64, 9), nn.Linear(9, 3), nn.ReLU()
        self.add_module("pop", nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.input(self.pop(self.keys(x))))


def network(name: str, seed: int = 0) -> tuple[nn.Module, np.ndarray]:
    """A network with random weights and statistics, and calibration samples for it."""
    make, shape = NETWORKS[name]
    torch.manual_seed(seed)
    return random_norms(make()), np.random.default_rng(seed).random((40, *shape), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", NETWORKS)
def test_the_steps_compute_what_the_module_does(name: str, seed: int) -> None:
    net, images = network(name, seed)
    before = deepcopy(net.state_dict())
    x = torch.from_numpy(images)
    with torch.no_grad():
        expected = net(x)
    graph = trace_ann(net, input_shape=images.shape[1:])
    values = graph.run(x)
    torch.testing.assert_close(values[graph.last.name], expected, rtol=1e-4, atol=1e-4)
    assert all(values[node.name].shape[1:] == node.shape for node in graph.nodes)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d | nn.Dropout) for m in graph.modules.values())
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())


@pytest.mark.slow
def test_a_network_in_training_is_taken_as_it_is_in_use() -> None:
    net, images = network("residual")
    net.train()
    statistics = net.bn.running_mean.clone()
    graph = trace_ann(net, input_shape=(1, 8, 8))
    x = torch.from_numpy(images)
    found = graph.run(x)["out"]
    assert net.training
    assert torch.equal(net.bn.running_mean, statistics)
    with torch.no_grad():
        torch.testing.assert_close(found, net.eval()(x), rtol=1e-4, atol=1e-4)


def test_the_result_with_other_values_of_a_step() -> None:
    net, images = network("residual")
    graph = trace_ann(net, input_shape=(1, 8, 8))
    values = graph.run(torch.from_numpy(images))
    own = {"block_relu": values["block_relu"]}
    assert torch.equal(graph.result(values, instead=own), values["out"])
    none = graph.result(values, instead={"block_relu_2": torch.zeros_like(values["block_relu_2"])})
    constant = graph.result(values, instead={"pool": torch.zeros_like(values["pool"])})
    assert torch.equal(none, constant)
    assert not torch.equal(none, values["out"])


def spikes_of(net: SpikingNetwork, given: np.ndarray, scale: float) -> dict[str, np.ndarray]:
    """Spikes by layer, (samples, steps, neurons), in double precision."""
    x = torch.from_numpy(given.swapaxes(0, 1) * scale)
    with torch.no_grad():
        found = deepcopy(net).double()(x, record=True).spikes
    return {name: s.flatten(2).swapaxes(0, 1).numpy() for name, s in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("reset", ["soft", "hard"])
@pytest.mark.parametrize("coding", ["direct", "poisson"])
@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "ends in a pool"])
def test_the_graph_fires_as_the_network(name: str, coding: str, reset: str, tmp_path: Path) -> None:
    net, images = network(name)
    readout = "spike_count" if name == "ends in ReLU" else "membrane"
    made = convert(net, calibration=images, reset=reset, coding=coding, readout=readout, time_steps=STEPS)
    graph = load_nir(save_nir(to_nir(made), tmp_path / "a.nir"))
    real = real_network(graph, options=LowerOptions())
    given = encode(images[:8], encoder=Encoder(coding=coding, time_steps=STEPS), first=0).astype(np.int64)
    run = run_float(real, {"input": given.reshape(8, STEPS, -1)})
    expected = spikes_of(made, given, real.inputs[0].scale)
    assert sum(spikes.sum() for spikes in expected.values()) > 0
    for layer, spikes in expected.items():
        assert np.array_equal(run.spikes[layer], spikes), layer
    assert {layer.name for layer in real.layers if layer.fires} == expected.keys()
    if readout == "membrane":
        x = torch.from_numpy(given.swapaxes(0, 1) * real.inputs[0].scale)
        with torch.no_grad():
            exact = deepcopy(made).double()(x).readout
        (last,) = (layer.name for layer in real.layers if not layer.fires)
        np.testing.assert_allclose(run.v[last][:, -1], exact.numpy(), rtol=1e-4, atol=1e-4)
    lowered = lower(graph, target="loihi2-soft" if reset == "soft" else "loihi2")
    assert lowered.program.readout == readout
    assert lowered.program.encoder["coding"] == coding


@pytest.mark.slow
@pytest.mark.parametrize("beta", [0.9, 0.5])
def test_a_leak_is_carried_over(beta: float) -> None:
    net, images = network("residual")
    made = convert(net, calibration=images, beta=beta, coding="direct", time_steps=STEPS, readout="spike_count")
    graph = to_nir(made, dt_s=1e-3)
    info = read_info(graph)
    assert (info.dt_s, info.readout_beta, info.readout, info.coding) == (1e-3, beta, "spike_count", "direct")
    real = real_network(graph, options=LowerOptions())
    for layer in real.layers:
        np.testing.assert_allclose(layer.beta, beta, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("coding", ["direct", "poisson"])
@pytest.mark.parametrize(
    ("reset", "method", "lost"),
    [
        ("soft", "max", 0.07), ("soft", "percentile", 0.05), ("soft", "matched", 0.03), ("hard", "max", 0.08),
        ("hard", "percentile", 0.07), ("hard", "matched", 0.05),
    ],
)  # fmt: skip
def test_a_trained_residual_network_stays_as_good(reset: str, method: str, lost: float, coding: str) -> None:
    torch.manual_seed(0)
    made = convert(
        trained(), calibration=digits().train_images, reset=reset, coding=coding, time_steps=STEPS,
        method=ThresholdMethod(name=method),
    )  # fmt: skip
    assert right(trained()) > 0.9
    assert right(made) > right(trained()) - lost


@pytest.mark.slow
@pytest.mark.parametrize("reset", ["soft", "hard"])
def test_a_trained_residual_network_in_integers(reset: str, tmp_path: Path) -> None:
    made = convert(trained(), calibration=digits().train_images, reset=reset, coding="direct", time_steps=STEPS)
    lowered = lower(to_nir(made), target="loihi2-soft" if reset == "soft" else "loihi2")
    artifact = npv.build(lowered.program, backend="fixedpoint", folder=tmp_path)
    integers = npv.simulate(artifact, images=digits().test_images).accuracy(digits().test_labels)
    assert abs(integers - right(made)) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("method", ["max", "percentile"])
def test_rates_stand_for_activations(method: str) -> None:
    """Many steps and a soft reset: rate times worth is the activation, up to what lies above the threshold."""
    net, images = network("residual")
    how = ThresholdMethod(name=method, percentile=100.0)
    made = convert(net, calibration=images, reset="soft", coding="direct", time_steps=2000, method=how)
    x = torch.from_numpy(images[:6])
    graph = trace_ann(net, input_shape=(1, 8, 8))
    values = graph.run((x * 255).round() / 255)
    with torch.no_grad():
        found = made(spiking_input(x, spec=made.spec), record=True)
    largest = {n.name: float(graph.run(torch.from_numpy(images))[n.name].max()) for n in graph.nodes}
    for name, spikes in found.spikes.items():
        error = (spikes.mean(0) * largest[name] - values[name]).abs().max()
        assert float(error) < 0.02 * largest[name], name
    exact = values["out"]
    assert float((found.readout / 2000 - exact).abs().max()) < 0.02 * float(exact.abs().max())


def test_max_is_the_largest_activation_and_a_shortcut_gets_its_factor() -> None:
    net, images = network("residual")
    made = convert(
        net, calibration=images, reset="soft", coding="direct", method=ThresholdMethod(name="max", scale=0.8)
    )
    graph = trace_ann(net, input_shape=(1, 8, 8))
    values = graph.run(torch.from_numpy(images))
    largest = {name: 0.8 * float(values[name].max()) for name in made.neurons()}
    # What a spike of the neurons before stands for divides the threshold, but where a sum brought values to the ANN's.
    before = {"block_relu": "relu", "relu_2": "block_relu_2", "relu_3": "relu_2"}
    for name, neuron in made.neurons().items():
        per_spike = largest[before[name]] if name in before else 1.0
        assert float(neuron.threshold) == pytest.approx(largest[name] / per_spike, rel=1e-5), name
    assert float(made.layers["add_relu"].factor) == pytest.approx(largest["relu"], rel=1e-5)
    weight = graph.modules["block_conv2"].weight
    torch.testing.assert_close(made.layers["block_conv2"].weight, weight * largest["block_relu"])
    torch.testing.assert_close(made.layers["block_conv2"].bias, graph.modules["block_conv2"].bias)
    torch.testing.assert_close(made.layers["fc"].weight, graph.modules["fc"].weight)
    torch.testing.assert_close(made.layers["fc"].bias, graph.modules["fc"].bias / largest["relu_2"])


@pytest.mark.slow
def test_conversion_is_seeded_and_leaves_the_network_alone() -> None:
    net, images = network("residual")
    before = deepcopy(net.state_dict())
    found = [
        convert(net, calibration=images, seed=seed, time_steps=8, coding="poisson").state_dict() for seed in (0, 0, 1)
    ]
    assert all(torch.equal(found[0][key], found[1][key]) for key in found[0])
    assert any(not torch.equal(found[0][key], found[2][key]) for key in found[0])
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())


@pytest.mark.slow
def test_a_converted_network_can_be_trained() -> None:
    net, images = network("residual")
    made = convert(net, calibration=images, time_steps=6, coding="direct").train()
    x, y = torch.from_numpy(images), torch.arange(40) % 10
    optimizer = torch.optim.Adam(made.parameters(), lr=2e-3)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = F.cross_entropy(made(spiking_input(x, spec=made.spec)).readout / made.spec.time_steps, y)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


class Calls(nn.Module):
    """One function between a convolution and the rest."""

    def __init__(self, function: Callable[[Tensor], Tensor], features: int = 128) -> None:
        super().__init__()
        self.conv, self.function, self.out = nn.Conv2d(1, 2, 3, padding=1), function, nn.Linear(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.function(self.conv(x)).flatten(1))


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.MaxPool2d(2), "1: MaxPool2d has no spiking form; replace max pooling by average pooling and retrain"),
        (nn.AdaptiveMaxPool2d(1), "1: AdaptiveMaxPool2d .*; replace max pooling by average pooling"),
        (nn.Sigmoid(), "1: Sigmoid has no spiking form; replace it by ReLU and retrain"),
        (nn.Tanh(), "1: Tanh .*; replace it by ReLU"),
        (nn.GELU(), "1: GELU .*; replace it by ReLU"),
        (nn.ReLU6(), "1: ReLU6 .*; replace it by ReLU"),
        (nn.LeakyReLU(), "1: LeakyReLU .*; replace it by ReLU"),
        (nn.Softmax(1), "1: Softmax .*; leave it out: the largest output stays the largest"),
        (nn.GroupNorm(2, 2), "1: GroupNorm .*; replace it by batch norm"),
        (nn.LayerNorm(8), "1: LayerNorm .*; replace it by batch norm"),
        (nn.Conv3d(1, 1, 1), "1: Conv3d has no spiking form"),
        (nn.MultiheadAttention(8, 1), "1: MultiheadAttention has no spiking form; replace it by Linear, Conv"),
        (nn.AvgPool2d(2, ceil_mode=True), "1: ceil_mode, divisor_override"),
        (nn.AvgPool2d(2, padding=1, count_include_pad=False), "1: ceil_mode, divisor_override"),
        (nn.AdaptiveAvgPool2d(3), r"1: pools maps of \(8, 8\) to \(3, 3\) with windows of different sizes; use nn.Av"),
        (nn.Conv2d(2, 2, 3, padding_mode="reflect"), "1: padding_mode 'reflect' has no form; use zeros"),
        (nn.Linear(8, 4), r"1: Linear reads values of shape \(2, 8, 8\); put nn.Flatten"),
        (nn.Conv2d(5, 2, 3), r"1: does not take values of shape \(2, 8, 8\)"),
        (nn.Flatten(2), "1: flattens some dimensions only"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(2)), "1_1: batch norm does not follow a convolution or linear"),
        (nn.BatchNorm2d(2, track_running_stats=False), "1: has no running statistics"),
    ],
)
def test_layers_without_a_form_are_refused_with_a_remedy(layer: nn.Module, text: str) -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), layer, nn.Flatten(), nn.Linear(128, 3))
    with pytest.raises(UnsupportedNode, match=f"^{text}"):
        trace_ann(net, input_shape=(1, 8, 8))


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (
            lambda x: F.max_pool2d(x, 2),
            r"max_pool2d: has no spiking form \(line \d+.*\); replace max pooling by average",
        ),
        (torch.sigmoid, "sigmoid: has no .*; replace it by ReLU"),
        (lambda x: x.tanh(), "tanh: has no .*; replace it by ReLU"),
        (F.gelu, "gelu: has no .*; replace it by ReLU"),
        (lambda x: x.softmax(1), "softmax: has no .*; leave it out"),
        (lambda x: torch.cat([x, x]), r"cat: has no spiking form \(line \d+.*\); add the branches instead"),
        (lambda x: x.mean((2, 3)), "mean: has no .*; use nn.AvgPool2d or nn.AdaptiveAvgPool2d"),
        (lambda x: x * 2, "mul: has no .*; put the factor into the weights"),
        (lambda x: x - x, "sub: has no .*; change the sign"),
        (lambda x: torch.sin(x), "sin: has no .*; replace it by Linear, Conv, BatchNorm, ReLU"),
        (lambda x: x + 1, "add: takes a constant.*; put it into the weights or a bias"),
        (lambda x: torch.add(x, x, alpha=2), "add: adds with a factor.*; put it into the weights"),
        (lambda x: x + F.avg_pool2d(x, 8), r"add: adds shapes \(2, 8, 8\) and \(2, 1, 1\)"),
        (lambda x: x.reshape(-1, 8, 16), r"reshape: reshapes to something other than \(batch, 128\)"),
        (lambda x: x.flatten(), "flatten: reshapes to something other than"),
    ],
)
def test_functions_without_a_form_are_refused_with_their_line(function: Callable, text: str) -> None:
    with pytest.raises(UnsupportedNode, match=f"^{text}"):
        trace_ann(Calls(function), input_shape=(1, 8, 8))


def test_a_condition_on_values_is_refused_with_its_line() -> None:
    class Conditional(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.relu() if x.sum() > 0 else x

    with pytest.raises(UnsupportedNode, match=r"^Conditional: its forward cannot be traced \(.*, line \d+ of the file"):
        trace_ann(Conditional(), input_shape=(3,))


def test_what_a_forward_may_return_and_take() -> None:
    class Two(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return x.relu(), x

    class Mask(nn.Module):
        def forward(self, x: Tensor, mask: Tensor) -> Tensor:
            return x.relu() + mask

    with pytest.raises(UnsupportedNode, match="output: the forward returns several values or none"):
        trace_ann(Two(), input_shape=(3,))
    with pytest.raises(UnsupportedNode, match="mask: is a second input; give a module that takes one tensor"):
        trace_ann(Mask(), input_shape=(3,))
    with pytest.raises(UnsupportedNode, match=r"output: has the shape \(2, 6, 6\); end in Flatten and Linear"):
        trace_ann(nn.Conv2d(1, 2, 3), input_shape=(1, 8, 8))


def test_batch_norm_on_values_that_are_read_twice_is_refused() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            x = self.fc(x)
            return self.norm(x) + x

    with pytest.raises(UnsupportedNode, match="norm: batch norm does not follow a convolution or linear layer of its"):
        trace_ann(Twice(), input_shape=(3,))


def test_an_in_place_relu_whose_input_is_read_again_is_refused() -> None:
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.relu = nn.Linear(4, 4), nn.ReLU(inplace=True)

        def forward(self, x: Tensor) -> Tensor:
            x = self.fc(x)
            return self.relu(x) + x  # x is its own ReLU by now

    torch.manual_seed(0)
    with pytest.raises(UnsupportedNode, match=r"^InPlace: what was traced differs by .*; write in-place operations"):
        convert(InPlace(), calibration=np.random.default_rng(0).random((20, 4), np.float32))


def quantized(*, per_channel: bool = False, **options: Any) -> nn.Sequential:
    """An ANN of brevitas: 4-bit weights, 8-bit activations."""
    import brevitas.nn as qnn
    from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat

    kind = Int8WeightPerChannelFloat if per_channel else Int8WeightPerTensorFloat
    width = {"weight_quant": kind, "weight_bit_width": 4}
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=8), qnn.QuantConv2d(1, 4, 3, padding=1, bias=True, **width), qnn.QuantReLU(),
        nn.AvgPool2d(2), nn.Flatten(), qnn.QuantLinear(64, 12, bias=False, **width), qnn.QuantReLU(bit_width=4),
        qnn.QuantLinear(12, 3, bias=True, **{**width, **options}),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("per_channel", "target"), [(False, "loihi2-soft"), (True, "int8")])
def test_quantized_weights_keep_their_integers(per_channel: bool, target: str, tmp_path: Path) -> None:
    """Through conversion, checkpoint, NIR file and lowering; activations become spikes, whatever their width was."""
    torch.manual_seed(3)
    ann = quantized(per_channel=per_channel)
    images = np.random.default_rng(0).random((60, 1, 8, 8), np.float32)
    ann(torch.from_numpy(images))  # brevitas learns the range of activations
    ann.eval()
    net = convert(ann, calibration=images, time_steps=8, coding="direct", reset="soft")
    stored = load_checkpoint(save_checkpoint(net, tmp_path / "net")).spiking
    graph = load_nir(save_nir(to_nir(stored), tmp_path / "net.nir"))
    lowered = lower(graph, target=target, options=LowerOptions(weight_bits=4))
    assert not any("quantization steps" in str(issue) for issue in lowered.diagnostics)
    layers = [module for module in ann if hasattr(module, "quant_weight")]
    for layer, made in zip(lowered.program.layers, layers, strict=True):
        found = made.quant_weight()
        expected = torch.round(found.value / found.scale).detach().numpy().reshape(layer.edges[0].map.weight.shape)
        np.testing.assert_array_equal(layer.edges[0].map.weight, expected)


def test_quantizers_that_spikes_cannot_take_over_are_refused() -> None:
    from brevitas.quant import Int8ActPerTensorFloat

    with pytest.raises(UnsupportedNode, match=r"^7: output_quant is on; quantized weights are taken over, activations"):
        trace_ann(quantized(output_quant=Int8ActPerTensorFloat), input_shape=(1, 8, 8))
    normed = nn.Sequential(*list(quantized())[:2], nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(256, 2))
    with pytest.raises(UnsupportedNode, match="2: batch norm would change the quantized weights before it"):
        trace_ann(normed.eval(), input_shape=(1, 8, 8))


def test_a_result_of_another_shape_is_refused() -> None:
    graph = trace_ann(nn.Linear(4, 3), input_shape=(4,))
    other = LayerGraph(nodes=graph.nodes, modules={graph.last.name: nn.Linear(4, 2)}, outputs=graph.outputs)
    with pytest.raises(UnsupportedNode, match=r"has the shape \(5, 2\) and not \(5, 3\)"):
        must_compute_the_same(other, nn.Linear(4, 3), torch.rand(5, 4))


def test_refusals_of_the_conversion() -> None:
    net, images = network("ends in ReLU")
    with pytest.raises(ConfigurationError, match="readout: the network ends in 2, whose membrane resets; use spike_c"):
        convert(net, calibration=images)
    with pytest.raises(ConfigurationError, match=r"calibration: holds values outside \[0, 1\]; put the scaling into"):
        convert(net, calibration=2 * images - 1, readout="spike_count")
    with pytest.raises(ConfigurationError, match="calibration: holds no samples"):
        convert(net, calibration=images[:0], readout="spike_count")
    with pytest.raises(ConfigurationError, match="coding: poisson-signed does not fit"):
        convert(net, calibration=images, readout="spike_count", coding="poisson-signed")
    with torch.no_grad():
        net[1].bias.fill_(-100)
    for name in ("max", "percentile", "matched"):
        with pytest.raises(ConfigurationError, match="2: is never positive on the calibration samples; give others"):
            convert(net, calibration=images, readout="spike_count", method=ThresholdMethod(name=name))
