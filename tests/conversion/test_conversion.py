"""Conversion: the same weights, thresholds found as described, batch norm folded into the same function."""

import numpy as np
import pytest
import torch
from torch import nn

from neuroprivacy.conversion import ThresholdMethod, convert, fold_batch_norm
from neuroprivacy.conversion.thresholds import _FRACTIONS, find_thresholds
from neuroprivacy.core.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.networks import ModelSpec, build_ann, model_spec
from neuroprivacy.networks.spiking import spiking_input

RNG = np.random.default_rng(3)
IMAGES = RNG.random((24, 1, 8, 8), np.float32)
STEPS = 6


def network(**options: object) -> tuple[nn.Sequential, ModelSpec]:
    spec = model_spec("convnet", input_shape=(1, 8, 8), classes=4, hidden=(9,), width=0.2, **options)
    torch.manual_seed(2)
    return build_ann(spec).eval(), spec


def two_layers() -> tuple[nn.Sequential, ModelSpec]:
    spec = model_spec("mlp", input_shape=(5,), classes=3, hidden=(4, 6))
    torch.manual_seed(4)
    return build_ann(spec).eval(), spec


@pytest.mark.parametrize("coding", ["direct", "poisson"])
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_max_is_the_largest_weighted_input_of_the_spikes_before(coding: str, scale: float) -> None:
    ann, spec = two_layers()
    x = RNG.random((30, 5)).astype(np.float32)
    method = ThresholdMethod(name="max", scale=scale)
    net = convert(ann, spec=spec, calibration=x, method=method, steps=STEPS, coding=coding, seed=3)
    given = spiking_input(torch.from_numpy(x), spec=net.spec, generator=torch.Generator().manual_seed(3))
    given = given.expand(STEPS, *given.shape[1:])
    w1, w2 = (layer.weight.detach() for layer in (ann.fc1, ann.fc2))
    first = second = -np.inf
    membranes = torch.zeros(30, 4)
    for t in range(STEPS):
        first = max(first, float((given[t] @ w1.T).max()))
    for t in range(STEPS):
        membranes = membranes + given[t] @ w1.T
        spikes = (membranes > scale * first).float()
        membranes = membranes * (1 - spikes)
        second = max(second, float((spikes @ w2.T).max()))
    found = [float(n.threshold) for n in net.neurons().values()]
    assert found == pytest.approx([scale * first, scale * second], rel=1e-5)


def test_percentile_is_of_the_positive_inputs() -> None:
    ann, spec = two_layers()
    x = RNG.random((30, 5)).astype(np.float32)
    net = convert(
        ann, spec=spec, calibration=x, method=ThresholdMethod(name="percentile", percentile=80), coding="direct"
    )
    current = (np.rint(x * 255) / 255) @ ann.fc1.weight.detach().numpy().T
    assert float(net.layers.fcact1.threshold) == pytest.approx(np.percentile(current[current > 0], 80), rel=1e-5)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_matched_chooses_the_best_of_its_grid(reset: str) -> None:
    ann, spec = network()
    largest = convert(ann, spec=spec, calibration=IMAGES, method=ThresholdMethod(name="max"), coding="direct")
    net = convert(ann, spec=spec, calibration=IMAGES, steps=STEPS, reset=reset, coding="direct")
    first = float(net.layers.act1.threshold) / float(largest.layers.act1.threshold)
    assert min(abs(first - f) for f in _FRACTIONS) < 1e-6
    # Brute force of the first layer: rates at each fraction, scaled to the activations, through the rest of the ANN.
    x = torch.from_numpy(np.rint(IMAGES * 255) / 255).float()
    with torch.no_grad():
        current = ann.conv1(x)
        activation, target = current.relu(), ann(torch.from_numpy(IMAGES)).log_softmax(1)
        activation = ann.conv1(torch.from_numpy(IMAGES)).relu()
        errors = []
        for fraction in _FRACTIONS:
            theta, v, total = float(current.max()) * fraction, torch.zeros_like(current), torch.zeros_like(current)
            for _ in range(STEPS):
                v = v + current
                spikes = (v > theta).float()
                v = v - theta * spikes if reset == "soft" else v * (1 - spikes)
                total = total + spikes
            rate = total / STEPS
            gain = (activation * rate).sum() / (rate * rate).sum()
            answer = ann[2:](gain * rate).log_softmax(1)
            errors.append(float((target.exp() * (target - answer)).sum() / len(x)))
    assert first == pytest.approx(_FRACTIONS[int(np.argmin(errors))])


def test_the_weights_are_the_anns_and_the_ann_is_not_changed() -> None:
    ann, spec = network(bias=True)
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    net = convert(ann, spec=spec, calibration=IMAGES, steps=STEPS)
    for name, value in before.items():
        assert torch.equal(net.layers.state_dict()[name], value)
        assert torch.equal(ann.state_dict()[name], value)
    assert (net.spec.steps, net.spec.reset, net.spec.readout) == (STEPS, "hard", "membrane")


def test_conversion_is_seeded() -> None:
    ann, spec = network()
    found = [
        [float(n.threshold) for n in convert(ann, spec=spec, calibration=IMAGES, steps=4, seed=s).neurons().values()]
        for s in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


def test_a_spike_count_readout_gets_a_threshold_too() -> None:
    ann, spec = network()
    net = convert(ann, spec=spec, calibration=IMAGES, steps=STEPS, readout="spike_count", coding="direct")
    assert list(net.neurons())[-1] == "outact"
    assert float(net.layers.outact.threshold) != 1.0


def test_a_signed_input_reaches_the_network_as_minus_1_to_1() -> None:
    ann, spec = network(signed_input=True)
    net = convert(
        ann, spec=spec, calibration=IMAGES, steps=400, coding="poisson-signed", reset="soft",
        method=ThresholdMethod(name="max"),
    )  # fmt: skip
    with torch.no_grad():
        given = spiking_input(torch.from_numpy(IMAGES), spec=net.spec, generator=torch.Generator().manual_seed(0))
        rates = net(given, record=True).spikes["act1"].mean(0) * net.layers.act1.threshold
        expected = ann.act1(ann.conv1(ann.signed(torch.from_numpy(IMAGES))))
    assert float((rates - expected).abs().mean()) < 0.05 * float(expected.abs().max())


def test_folded_batch_norm_computes_the_same_function() -> None:
    ann, spec = network(batch_norm=True, bias=True)
    with torch.no_grad():
        for module in ann.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.2, 3)
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    folded, plain = fold_batch_norm(ann, spec)
    assert not plain.batch_norm
    assert plain.bias
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    x = torch.rand(7, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(folded.eval()(x), ann.eval()(x), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, ann.state_dict()[name]) for name, value in before.items())
    net = convert(ann, spec=spec, calibration=IMAGES, steps=STEPS)
    assert torch.equal(net.layers.conv1.bias, folded.conv1.bias)


def test_without_batch_norm_nothing_is_copied() -> None:
    ann, spec = network()
    assert fold_batch_norm(ann, spec) == (ann, spec)


def test_batch_norm_elsewhere_is_refused() -> None:
    _, spec = network(batch_norm=True)
    odd = nn.Sequential()
    odd.add_module("norm", nn.BatchNorm2d(1))
    with pytest.raises(UnsupportedNode, match="norm: batch norm does not follow a convolution"):
        fold_batch_norm(odd, spec)


def test_refusals() -> None:
    ann, spec = network()
    with pytest.raises(ConfigurationError, match=r"calibration: shape \(1, 4, 4\) is not the network's \(1, 8, 8\)"):
        convert(ann, spec=spec, calibration=IMAGES[:, :, :4, :4])
    with pytest.raises(ConfigurationError, match="a layer gets no positive input from the calibration images"):
        convert(ann, spec=spec, calibration=np.zeros_like(IMAGES))
    for options in ({"name": "best"}, {"percentile": 101.0}, {"scale": 0.0}):
        with pytest.raises(ConfigurationError, match="method: "):
            ThresholdMethod(**options)


def test_find_thresholds_says_what_it_found() -> None:
    ann, spec = two_layers()
    net = convert(ann, spec=spec, calibration=RNG.random((9, 5)).astype(np.float32), coding="direct")
    x = torch.rand(9, 5)
    found = find_thresholds(net, ann, x, spiking_input(x, spec=net.spec), method=ThresholdMethod(name="max"))
    assert found == {name: pytest.approx(float(n.threshold)) for name, n in net.neurons().items()}
