"""Conversion: the same weights, thresholds found as described, batch norm folded into the same function."""

import numpy as np
import pytest
import torch
from torch import nn

from neuroprivacy.conversion import ThresholdMethod, convert
from neuroprivacy.conversion.ann import trace_ann
from neuroprivacy.conversion.thresholds import FRACTIONS
from neuroprivacy.core.errors import ConfigurationError, UnsupportedNode
from neuroprivacy.networks import build_ann, model_spec, spiking_input

RNG = np.random.default_rng(3)
IMAGES = RNG.random((24, 1, 8, 8), np.float32)
STEPS = 6


def network(**options: object) -> nn.Sequential:
    spec = model_spec("convnet", input_shape=(1, 8, 8), classes=4, hidden=(9,), width=0.2, **options)
    torch.manual_seed(2)
    return build_ann(spec).eval()


def two_layers() -> nn.Sequential:
    spec = model_spec("mlp", input_shape=(5,), classes=3, hidden=(4, 6))
    torch.manual_seed(4)
    return build_ann(spec).eval()


@pytest.mark.parametrize("coding", ["direct", "poisson"])
@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_max_input_is_the_largest_weighted_input_of_the_spikes_before(coding: str, scale: float) -> None:
    ann = two_layers()
    x = RNG.random((30, 5)).astype(np.float32)
    method = ThresholdMethod(name="max-input", scale=scale)
    net = convert(ann, calibration=x, method=method, time_steps=STEPS, coding=coding, seed=3)
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


def test_percentile_is_of_the_positive_activations() -> None:
    ann = two_layers()
    x = RNG.random((30, 5)).astype(np.float32)
    net = convert(ann, calibration=x, method=ThresholdMethod(name="percentile", percentile=80), coding="direct")
    current = x @ ann.fc1.weight.detach().numpy().T
    assert float(net.layers["fcact1"].threshold) == pytest.approx(np.percentile(current[current > 0], 80), rel=1e-5)


@pytest.mark.parametrize("reset", ["hard", "soft"])
def test_matched_chooses_the_best_of_its_grid(reset: str) -> None:
    ann = network()
    largest = convert(ann, calibration=IMAGES, method=ThresholdMethod(name="max-input"), coding="direct")
    net = convert(ann, calibration=IMAGES, time_steps=STEPS, reset=reset, coding="direct")
    first = float(net.layers["act1"].threshold) / float(largest.layers["act1"].threshold)
    assert min(abs(first - f) for f in FRACTIONS) < 1e-6
    # Brute force of the first layer: rates at each fraction, scaled to the activations, through the rest of the ANN.
    x = torch.from_numpy(np.rint(IMAGES * 255) / 255).float()
    with torch.no_grad():
        current = ann.conv1(x)
        activation, target = current.relu(), ann(torch.from_numpy(IMAGES)).log_softmax(1)
        activation = ann.conv1(torch.from_numpy(IMAGES)).relu()
        errors = []
        for fraction in FRACTIONS:
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
    assert first == pytest.approx(FRACTIONS[int(np.argmin(errors))])


def test_the_weights_are_the_anns_and_the_ann_is_not_changed() -> None:
    """All but the last, which is in units of the ANN: weights as they are, biases divided by what a spike stands
    for.
    """
    ann = network(bias=True)
    with torch.no_grad():
        for name, value in ann.named_parameters():
            if name.endswith("bias"):
                value.uniform_(0.1, 0.4)
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    net = convert(ann, calibration=IMAGES, time_steps=STEPS)
    assert all(torch.equal(ann.state_dict()[name], value) for name, value in before.items())
    found = net.layers.state_dict()
    for name in ("conv1", "conv2", "fc1"):
        assert torch.equal(found[f"{name}.weight"], before[f"{name}.weight"])
    assert torch.equal(found["conv1.bias"], before["conv1.bias"])
    for name in ("conv2", "fc1"):
        per_spike = before[f"{name}.bias"] / found[f"{name}.bias"]
        torch.testing.assert_close(per_spike, per_spike[:1].expand_as(per_spike))
    per_spike = found["out.weight"] / before["out.weight"]
    torch.testing.assert_close(per_spike, per_spike[:1, :1].expand_as(per_spike))
    torch.testing.assert_close(found["out.bias"], before["out.bias"])
    assert (net.spec.time_steps, net.spec.reset, net.spec.readout) == (STEPS, "hard", "membrane")


@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("method", ["max", "percentile", "max-input", "matched"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("family", ["mlp", "convnet", pytest.param("vgg5", marks=pytest.mark.slow)])
def test_biases_and_batch_norm_keep_the_answer(family: str, batch_norm: bool, method: str, reset: str) -> None:
    """With many time steps the readout is the ANN's logits, whatever biases and batch norm there are."""
    shape = (16,) if family == "mlp" else (1, 8, 8)
    model = model_spec(family, input_shape=shape, classes=4, hidden=(12,), width=0.2, bias=True, batch_norm=batch_norm)
    torch.manual_seed(5)
    ann = build_ann(model).eval()
    with torch.no_grad():
        for module in ann.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.bias.uniform_(-0.3, 0.3)
                module.running_mean.uniform_(-0.2, 0.2)
            if getattr(module, "bias", None) is not None:
                module.bias.uniform_(-0.2, 0.4)
    images = np.random.default_rng(1).random((60, *shape), np.float32)
    how = ThresholdMethod(name=method)  # type: ignore[arg-type]
    net = convert(ann, calibration=images, time_steps=200, reset=reset, method=how)  # type: ignore[arg-type]
    x = torch.from_numpy(images)
    with torch.no_grad():
        expected, found = ann(x), net(spiking_input(x, spec=net.spec)).readout / 200
    expected, found = (v - v.mean(1, keepdim=True) for v in (expected, found))
    correlation = float((expected * found).sum() / (expected.norm() * found.norm()))
    assert correlation > (0.97 if reset == "soft" else 0.85), correlation


def test_conversion_is_seeded() -> None:
    ann = network()
    found = [
        [
            float(n.threshold)
            for n in convert(ann, calibration=IMAGES, time_steps=4, seed=s, coding="poisson").neurons().values()
        ]
        for s in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]


def test_a_spike_count_readout_gets_a_threshold_too() -> None:
    ann = network()
    net = convert(ann, calibration=IMAGES, time_steps=STEPS, readout="spike_count", coding="direct")
    assert list(net.neurons())[-1] == "outact"
    assert float(net.layers["outact"].threshold) != 1.0


def test_a_signed_input_reaches_the_network_as_minus_1_to_1() -> None:
    ann = network(signed_input=True)
    net = convert(
        ann, calibration=IMAGES, time_steps=400, coding="poisson-signed", reset="soft",
        method=ThresholdMethod(name="max"),
    )  # fmt: skip
    with torch.no_grad():
        given = spiking_input(torch.from_numpy(IMAGES), spec=net.spec, generator=torch.Generator().manual_seed(0))
        rates = net(given, record=True).spikes["act1"].mean(0) * net.layers["act1"].threshold
        expected = ann.act1(ann.conv1(ann.signed(torch.from_numpy(IMAGES))))
    assert float((rates - expected).abs().mean()) < 0.05 * float(expected.abs().max())


def test_folded_batch_norm_computes_the_same_function() -> None:
    ann = network(batch_norm=True, bias=True)
    with torch.no_grad():
        for module in ann.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2)
                module.bias.uniform_(-1, 1)
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.2, 3)
    before = {name: value.clone() for name, value in ann.state_dict().items()}
    folded = trace_ann(ann, input_shape=(1, 8, 8))
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules.values())
    x = torch.rand(7, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(folded.run(x)["out"], ann.eval()(x), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, ann.state_dict()[name]) for name, value in before.items())
    net = convert(ann, calibration=IMAGES, time_steps=STEPS)
    assert torch.equal(net.layers["conv1"].bias, folded.modules["conv1"].bias)


def test_refusals() -> None:
    ann = network()
    with pytest.raises(UnsupportedNode, match=r"fc1: does not take values of shape \(6,\)"):
        convert(ann, calibration=IMAGES[:, :, :4, :4])
    with pytest.raises(ConfigurationError, match="act1: is never positive on the calibration samples; give others"):
        convert(ann, calibration=np.zeros_like(IMAGES))
    for options in ({"name": "best"}, {"percentile": 101.0}, {"scale": 0.0}):
        with pytest.raises(ConfigurationError, match="method: "):
            ThresholdMethod(**options)
