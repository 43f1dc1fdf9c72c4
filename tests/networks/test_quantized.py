"""Quantization-aware training: what the torch network computes is what its Program computes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph import load_nir, save_nir
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.networks import (
    SpikingNetwork,
    SpikingSpec,
    build_snn,
    load_checkpoint,
    model_spec,
    quantize_weights,
    recorded_spikes,
    save_checkpoint,
)
from neuroprivacy.networks.neuron import IntegerForm, SpikingNeuron
from neuroprivacy.networks.quantized import quantized_layer
from neuroprivacy.networks.surrogate import Surrogate
from neuroprivacy.runtime.backend import Record, check_inputs
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.runtime.simulation import encode_samples
from neuroprivacy.targets.spec import load_target


def network(
    *, bits: object, target: str, bias: bool = False, beta: float = 1.0, coding: str = "direct"
) -> SpikingNetwork:
    torch.manual_seed(3)
    model = model_spec("convnet", input_shape=(1, 8, 8), classes=4, hidden=(12,), width=0.25, bias=bias)
    reset = "soft" if "soft" in target else "hard"
    net = build_snn(model, SpikingSpec(time_steps=10, coding=coding, beta=beta, reset=reset))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(-0.05, 0.1)
    for name, neuron in net.neurons().items():
        neuron.threshold.fill_(0.23 if name == "fcact1" else 0.83)
    return quantize_weights(net, bits, state_target=target)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4, 2, "ternary"])
@pytest.mark.parametrize("target", ["loihi2", "loihi2-soft", "int8"])
@pytest.mark.parametrize("bias", [False, True])
def test_spikes_of_training_are_those_of_the_program(bits: object, target: str, bias: bool, tmp_path: Path) -> None:
    net = network(bits=bits, target=target, bias=bias)
    graph = load_nir(save_nir(to_nir(net), tmp_path / "net.nir"))
    lowered = lower(graph, target=target, options=LowerOptions(weight_bits=bits))  # type: ignore[arg-type]
    assert not any("quantization steps" in str(issue) for issue in lowered.diagnostics)
    assert not any("compensated" in str(issue) for issue in lowered.diagnostics)
    program = lowered.program
    x = check_inputs(program, encode_samples(program, np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)))
    got = run_reference(program, x, record=Record(spikes=True)).layer_spikes or {}
    trained = recorded_spikes(net, x["input"], scale=program.inputs[0].scale)
    depth = lowered.real_network.latencies
    assert set(trained) == {"act1", "act2", "fcact1"}
    for name, spikes in trained.items():
        assert spikes.mean() > 0.005
        np.testing.assert_array_equal(spikes, got[name][:, depth[name] : depth[name] + 10])


def test_biases_are_trained_as_the_current_is_that_they_are_part_of() -> None:
    generator = torch.Generator().manual_seed(1)
    given, weight = torch.randint(-3, 4, (9, 4, 6), generator=generator) / 4, torch.arange(6.0)
    bias = torch.linspace(-0.25, 0.5, 6).requires_grad_()
    current = (given + bias).requires_grad_()
    current.retain_grad()
    form = IntegerForm(target=load_target("loihi2"), weight_scale=torch.tensor(0.25, dtype=torch.float64), bias=bias)
    neuron = SpikingNeuron(threshold=1.0, reset="soft", surrogate=Surrogate(name="atan"))
    (neuron(current, integers=form) * weight).sum().backward()
    assert bias.grad is not None
    assert current.grad is not None
    torch.testing.assert_close(bias.grad, current.grad.sum((0, 1)))
    assert bias.grad.abs().max() > 1


@pytest.mark.slow
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("target", ["loihi2", "loihi2-soft"])
def test_biases_that_are_sent_are_those_of_training(bits: int, target: str) -> None:
    """Channels with a bias of minus twice the threshold, as batch norm leaves them."""
    net = network(bits=bits, target=target, bias=True)
    with torch.no_grad():
        net.layers.conv2.bias[:3] = torch.tensor([-1.7, -2.3, 0.0113])  # type: ignore[union-attr,index]
        net.layers.conv2.weight[:2] *= 12  # type: ignore[union-attr,index]
    net = quantize_weights(net, bits, state_target=target)  # the scales of these weights
    lowered = lower(to_nir(net), target=target, options=LowerOptions(weight_bits=bits))
    program = lowered.program
    assert "act2.bias" in [layer.name for layer in program.layers]
    x = check_inputs(program, encode_samples(program, np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)))
    got = run_reference(program, x, record=Record(spikes=True)).layer_spikes or {}
    depth = lowered.real_network.latencies
    for name, spikes in recorded_spikes(net, x["input"], scale=program.inputs[0].scale).items():
        np.testing.assert_array_equal(spikes, got[name][:, depth[name] : depth[name] + 10])
        assert spikes.any()


@pytest.mark.slow
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("target", ["loihi2", "loihi2-soft", "int8"])
def test_a_scale_for_each_population_is_deployed_as_it_was_trained(target: str, bias: bool) -> None:
    """Channels of very different size, which one scale of four bits could not hold."""
    net = network(bits=8, target=target, bias=bias)
    with torch.no_grad():
        for name in ("conv1", "conv2", "fc1"):
            weight = dict(net.layers.named_children())[name].weight
            weight *= (2.0 ** -(torch.arange(len(weight)) % 3)).view(-1, *[1] * (weight.ndim - 1))
    net = quantize_weights(net, 4, state_target=target, populations=4)
    counts = [
        len(module.quant_weight().scale.unique()) for module in net.layers.values() if hasattr(module, "quant_weight")
    ]
    assert all(2 <= count <= 4 for count in counts[1:-1])
    assert counts[-1] == 1  # what is read stays whole
    lowered = lower(to_nir(net), target=target, options=LowerOptions(weight_bits=4, populations=4))
    assert not any("quantization steps" in str(issue) for issue in lowered.diagnostics)
    program, parts = lowered.program, lowered.real_network.populations
    if target != "int8":
        assert [len(parts.get(name, "1")) for name in ("act1", "act2", "fcact1")] == counts[:-1]
    x = check_inputs(program, encode_samples(program, np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)))
    got = run_reference(program, x, record=Record(spikes=True)).layer_spikes or {}
    depth = lowered.real_network.latencies
    for name, spikes in recorded_spikes(net, x["input"], scale=program.inputs[0].scale).items():
        assert spikes.mean() > 0.005
        for part, neurons in parts.get(name, {name: np.arange(spikes.shape[2])}).items():
            np.testing.assert_array_equal(spikes[:, :, neurons], got[part][:, depth[name] : depth[name] + 10])


@pytest.mark.slow
def test_populations_train_weights_and_biases_but_not_their_scales() -> None:
    net = quantize_weights(network(bits=8, target="loihi2", bias=True), 4, state_target="loihi2", populations=3).train()
    net(torch.rand(1, 3, 1, 8, 8)).readout.square().sum().backward()
    for name, parameter in net.named_parameters():
        fixed = name.endswith("scaling_impl.value") and not name.startswith("layers.out.")
        assert parameter.requires_grad != fixed
        assert fixed or (parameter.grad is not None and parameter.grad.abs().sum() > 0), name


def test_channels_that_ask_for_the_same_scale_share_the_best_one() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Linear(40, 6, bias=False)
    one, several = quantized_layer(layer, 8), quantized_layer(layer, 8, populations=4)
    scale = several.quant_weight().scale  # type: ignore[operator]
    assert len(scale.unique()) == 1
    torch.testing.assert_close(scale.flatten()[0], one.quant_weight().scale.flatten()[0])  # type: ignore[operator]


@pytest.mark.slow
def test_shared_scales_stay_fixed_in_a_network_that_was_loaded(tmp_path: Path) -> None:
    net = quantize_weights(network(bits=8, target="loihi2"), 4, state_target="loihi2", populations=3)
    save_checkpoint(net, tmp_path / "net")
    loaded = load_checkpoint(tmp_path / "net").spiking
    for other in (net.with_time_steps(5), loaded):
        assert [p.requires_grad for p in other.parameters()] == [p.requires_grad for p in net.parameters()]
        assert not all(p.requires_grad for p in other.parameters())


def test_channels_of_one_population_have_one_bias_exponent() -> None:
    """Units that differ by rounding are one: so they are when the network is lowered."""
    bias = torch.tensor([0.301, 20.0])
    unit = torch.tensor([0.01, 0.01 * (1 + 1e-7)], dtype=torch.float64)
    whole = IntegerForm(target=load_target("loihi2"), weight_scale=unit, bias=bias).integer_bias()
    assert whole.tolist() == [1920, 128_000]
    far = IntegerForm(
        target=load_target("loihi2"), weight_scale=unit * torch.tensor([1.0, 1.1]), bias=bias
    ).integer_bias()
    assert far[0] == 1926


def test_populations_are_for_quantized_weights() -> None:
    with pytest.raises(ConfigurationError, match="populations: 3"):
        replace(network(bits=8, target="loihi2").spec, weight_bits=None, state_target=None, populations=3)


def test_a_leak_is_computed_in_integers_too() -> None:
    net = network(bits=4, target="loihi2", beta=0.9)
    program = lower(to_nir(net), target="loihi2", options=LowerOptions(weight_bits=4)).program
    x = check_inputs(program, encode_samples(program, np.random.default_rng(0).random((5, 1, 8, 8)).astype(np.float32)))
    got = run_reference(program, x, record=Record(spikes=True)).layer_spikes or {}
    for i, (name, spikes) in enumerate(recorded_spikes(net, x["input"], scale=program.inputs[0].scale).items(), 1):
        np.testing.assert_array_equal(spikes, got[name][:, i : i + 10])


def test_gradients_reach_weights_and_scales() -> None:
    net = network(bits=4, target="loihi2").train()
    net(torch.rand(1, 3, 1, 8, 8)).readout.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all()
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.slow
def test_checkpoints_keep_width_and_scales(tmp_path: Path) -> None:
    net = network(bits="ternary", target="loihi2")
    save_checkpoint(net, tmp_path)
    read = load_checkpoint(tmp_path).spiking
    assert read.spec == net.spec
    x = torch.rand(1, 3, 1, 8, 8)
    assert torch.equal(read(x).readout, net(x).readout)


def test_the_given_network_stays_as_it_is() -> None:
    torch.manual_seed(0)
    net = build_snn(model_spec("mlp", input_shape=(5,), classes=2, hidden=(4,)), SpikingSpec(coding="direct"))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    made = quantize_weights(net, 3)
    assert made.spec.weight_bits == 3
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_a_fitted_scale_has_less_error_than_the_largest_weight() -> None:
    from neuroprivacy.networks.quantized import quantized_layer, weight_scale_of

    torch.manual_seed(0)
    layer = torch.nn.Linear(50, 20)
    torch.nn.init.normal_(layer.weight)
    made = quantized_layer(layer, 3)
    unit = weight_scale_of(made)
    assert unit is not None
    weight = layer.weight.detach()
    error = float(((made.quant_weight().value.detach() - weight) ** 2).sum())  # type: ignore[operator]
    widest = weight.abs().max() / 4
    plain = (weight / widest).round().clamp(-4, 3) * widest
    assert error < float(((plain - weight) ** 2).sum())


@pytest.mark.parametrize("bits", [1, 9, "binary", True, 2.5])
def test_widths_that_do_not_exist(bits: object) -> None:
    with pytest.raises(ConfigurationError, match=r"weight bits: .* is neither 2 \.\.\. 8 nor 'ternary'"):
        SpikingSpec(weight_bits=bits)  # type: ignore[arg-type]


def test_integer_neurons_need_quantized_weights() -> None:
    with pytest.raises(ConfigurationError, match="state target: integer neurons need quantized weights"):
        SpikingSpec(state_target="loihi2")
    with pytest.raises(ConfigurationError, match="no target is called 'loihi9'"):
        SpikingSpec(weight_bits=4, state_target="loihi9")


def test_beside_snntorchs_state_quant() -> None:
    """snnTorch's levels are no fixed-point grid: on the same network its spikes are not the chip's, ours are."""
    import snntorch
    from snntorch.functional.quant import state_quant

    net = network(bits=8, target="loihi2", coding="poisson")
    first, threshold = net.layers.conv1, float(net.layers.act1.threshold)
    leaky = snntorch.Leaky(
        beta=1.0, threshold=threshold, reset_mechanism="zero", reset_delay=False,
        state_quant=state_quant(num_bits=8, threshold=threshold),
    )  # fmt: skip
    x = (torch.rand(10, 3, 1, 8, 8) < 0.4).float()
    membrane, theirs = leaky.init_leaky(), []
    with torch.no_grad():
        for step in x:
            spikes, membrane = leaky(first(step), membrane)
            theirs.append(spikes)
        ours = net(x, record=True).spikes["act1"]
    assert (torch.stack(theirs) != ours).any()
