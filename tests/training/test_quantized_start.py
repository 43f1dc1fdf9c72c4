"""Training begins where calibrated lowering ends: the same integers."""

import numpy as np
import pytest
import torch

from neuroprivacy.core.errors import ConfigurationError
from neuroprivacy.export.network import to_nir
from neuroprivacy.graph.encode import encode_for
from neuroprivacy.kernels.channel_groups import alike
from neuroprivacy.lowering import LowerOptions, lower
from neuroprivacy.networks import SpikingNetwork, SpikingSpec, build_snn, model_spec
from neuroprivacy.program import Program
from neuroprivacy.runtime.backend import check_inputs
from neuroprivacy.runtime.reference import run_reference
from neuroprivacy.runtime.simulation import encode_samples
from neuroprivacy.training.quantized_start import quantized_start

SAMPLES = np.random.default_rng(0).random((40, 1, 8, 8)).astype(np.float32)


def float_net(*, reset: str, coding: str, bias: bool = True, beta: float = 1.0) -> SpikingNetwork:
    torch.manual_seed(5)
    signed = coding == "poisson-signed"
    model = model_spec(
        "convnet", input_shape=(1, 8, 8), classes=4, hidden=(12,), width=0.25, bias=bias, signed_input=signed
    )
    net = build_snn(model, SpikingSpec(time_steps=10, coding=coding, reset=reset, beta=beta))  # type: ignore[arg-type]
    with torch.no_grad():
        for name, module in net.layers.named_children():
            if getattr(module, "bias", None) is not None:
                module.bias.uniform_(-0.05, 0.1)  # type: ignore[union-attr,operator]
            if name in ("conv2", "fc1"):  # channels of different size become populations
                weight = module.weight
                weight *= 2.0 ** -(torch.arange(len(weight)) % 3).view(-1, *[1] * (weight.ndim - 1))  # type: ignore[arg-type,union-attr,operator]
        for neuron in net.neurons().values():
            neuron.threshold.fill_(0.7)
    return net.eval()


def readout(program: Program) -> np.ndarray:
    given = check_inputs(program, encode_samples(program, SAMPLES))
    return run_reference(program, given).readout


@pytest.mark.slow
@pytest.mark.parametrize("bits", [4, "ternary"])
@pytest.mark.parametrize(("target", "coding", "beta"), [
    ("loihi2", "direct", 1.0), ("loihi2-soft", "poisson", 1.0), ("loihi2", "poisson", 0.9), ("int8", "direct", 1.0),
])  # fmt: skip
def test_it_computes_what_calibrated_lowering_gives(bits: object, target: str, coding: str, beta: float) -> None:
    reset = "soft" if "soft" in target else "hard"
    net = float_net(reset=reset, coding=coding, beta=beta)
    start = quantized_start(net, bits=bits, target=target, populations=3, images=SAMPLES)  # type: ignore[arg-type]
    assert start.spec.state_target == target
    for module in start.layers.values():
        if hasattr(module, "quant_weight"):
            units = module.quant_weight().scale.detach().flatten().double().numpy()
            assert len(np.unique(units)) == alike(units).max() + 1  # those of a population are equal to the bit
    graph = to_nir(net)
    chosen = {"weight_bits": bits, "populations": 3, "per_channel": target != "int8"}
    options = LowerOptions(**chosen, calibration=encode_for(graph, SAMPLES))  # type: ignore[arg-type]
    wanted = lower(graph, target=target, options=options)
    got = lower(to_nir(start), target=target, options=LowerOptions(**chosen))  # type: ignore[arg-type]
    assert not any("quantization steps" in str(issue) for issue in got.diagnostics)
    pairs = list(zip(got.program.layers, wanted.program.layers, strict=True))
    for ours, theirs in pairs:
        assert ours.name == theirs.name
        for a, b in zip(ours.edges, theirs.edges, strict=True):
            np.testing.assert_array_equal(a.map.weight, b.map.weight)
        assert np.abs(ours.threshold - theirs.threshold).max() <= 1
    assert (readout(got.program).argmax(1) == readout(wanted.program).argmax(1)).mean() >= 0.9
    if target != "int8":
        assert len(wanted.real_network.populations) >= 1


@pytest.mark.slow
def test_networks_without_biases_leave_the_corrections_out() -> None:
    net = float_net(reset="hard", coding="direct", bias=False)
    start = quantized_start(net, bits=4, target="loihi2", populations=2, images=SAMPLES)
    assert not any(name.endswith("bias") for name, _ in start.named_parameters())


@pytest.mark.slow
def test_signed_input_is_refused_by_name() -> None:
    net = float_net(reset="hard", coding="poisson-signed")
    with pytest.raises(ConfigurationError, match="signed input"):
        quantized_start(net, bits=4, target="loihi2", populations=2, images=SAMPLES)
